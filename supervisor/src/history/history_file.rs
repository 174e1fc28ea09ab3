//! The file of the history, as the thread of the disk holds it.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

use evonic_process::{file, folder};
use rustix::fs::OFlags;

use crate::disk::{self, FileError};

/// What is to be written.
#[derive(Debug)]
pub enum Text {
    /// Behind what is there.
    Appended {
        content: Vec<u8>,
        /// It survives a loss of power.
        is_synced: bool,
    },
    /// Instead of what is there.
    Whole { content: Vec<u8> },
}

/// One descriptor, from the first line that is appended on: a supervisor that may open no more
/// files can still write why it ends.
#[derive(Debug)]
pub struct HistoryFile {
    path: PathBuf,
    file: Option<File>,
}

impl HistoryFile {
    /// Opens nothing yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until it is written.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn write(&mut self, text: &Text) -> Result<(), FileError> {
        let written = match text {
            Text::Appended { content, is_synced } => self.append(content, *is_synced),
            Text::Whole { content } => {
                // The name is another file's then.
                self.file = None;
                file::replace(&self.path, content, folder::FILE)
            }
        };
        written.map_err(FileError::new("write", &self.path))
    }

    fn append(&mut self, content: &[u8], is_synced: bool) -> io::Result<()> {
        let mut file = match self.file.take() {
            None => disk::open(&self.path, OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE)?,
            // Somebody removed it: it is written anew, as a whole.
            Some(file) if rustix::fs::fstat(&file)?.st_nlink == 0 => {
                return Err(io::ErrorKind::NotFound.into());
            }
            Some(file) => file,
        };
        file.write_all(content)?;
        if is_synced {
            file.sync_data()?;
        }
        self.file = Some(file);
        Ok(())
    }
}
