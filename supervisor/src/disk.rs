//! Files of the state folder, and the thread that writes them: a disk that stalls, stalls it alone.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use evonic_process::{folder::FILE, occupant::Occupant};
use evonic_shared::{error_chain::ErrorChain, status::PostMortem};
use rustix::fs::{FileType, Mode, OFlags};

use crate::{
    background::Background,
    history::{HistoryFile, Text},
    post_mortem,
    sys::KernelError,
};

/// A file or folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", path.display())]
pub struct FileError {
    /// `read`, `make the folder`.
    pub action: &'static str,
    pub path: PathBuf,
    #[source]
    pub source: io::Error,
}

impl FileError {
    pub fn new<E: Into<io::Error>>(action: &'static str, path: &Path) -> impl FnOnce(E) -> Self {
        let path = path.to_owned();
        move |source| Self { action, path, source: source.into() }
    }
}

/// Opens a file of the service's user, and closes it to others where it is open to them.
///
/// # Errors
/// The OS error; an error for what is no regular file, such as a link or a pipe, or somebody else's.
pub fn open(path: &Path, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let opened = rustix::fs::open(path, flags, Mode::from_raw_mode(FILE));
    // The kernel's own words for a link here are of too many links.
    let file = match (opened, Occupant::of(path)) {
        (Ok(file), Ok(Some(Occupant::File)) | Err(_)) => file,
        (_, Ok(Some(occupant))) if occupant != Occupant::File => {
            return Err(io::Error::other(format!("it is {occupant}: move it away")));
        }
        (opened, _) => opened?,
    };
    let found = rustix::fs::fstat(&file)?;
    if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
        return Err(io::Error::other("it is no regular file"));
    }
    if found.st_uid != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other(format!("it belongs to uid {}", found.st_uid)));
    }
    if found.st_mode & 0o7777 & !FILE != 0 {
        rustix::fs::fchmod(&file, Mode::from_raw_mode(FILE))?;
        tracing::info!(path = %path.display(), "file is closed to others");
    }
    Ok(file.into())
}

/// What waits for the disk at most. Each is some 100 kB at most.
const MAX_WAITING: usize = 16;

/// Something to be written.
#[derive(Debug)]
enum Job {
    History(Text),
    PostMortem(Box<PostMortem>),
}

/// The thread that writes history and post-mortems. Two descriptors: the history's, and one of what
/// is being written.
#[derive(Debug)]
pub struct Disk {
    thread: Background<Job>,
    has_lost_history: Arc<AtomicBool>,
}

impl Disk {
    /// # Errors
    /// [`KernelError`]: there is no thread to be had.
    pub fn start(state_dir: PathBuf, history: HistoryFile) -> Result<Self, KernelError> {
        Self::start_behind(state_dir, history, || ())
    }

    /// Calls `wait` before each write: a test's disk that does not answer.
    pub fn start_behind(
        state_dir: PathBuf,
        mut history: HistoryFile,
        mut wait: impl FnMut() + Send + 'static,
    ) -> Result<Self, KernelError> {
        let has_lost_history = Arc::new(AtomicBool::new(false));
        let lost = Arc::clone(&has_lost_history);
        let work = move |job| {
            wait();
            let (written, what) = match job {
                Job::History(text) => {
                    let written = history.write(&text);
                    lost.fetch_or(written.is_err(), Ordering::Relaxed);
                    (written, "history is not kept")
                }
                Job::PostMortem(report) => {
                    (post_mortem::keep(&state_dir, &report), "post-mortem is not kept")
                }
            };
            if let Err(error) = written {
                tracing::error!(error = %ErrorChain(&error), "{what}");
            }
        };
        let thread = Background::start("disk", MAX_WAITING, work)
            .map_err(KernelError::new("start a thread"))?;
        Ok(Self { thread, has_lost_history })
    }

    /// Whether more can be handed over: else the disk has not answered for a while.
    pub fn has_room(&self) -> bool {
        self.thread.has_room()
    }

    /// Hands over a part of the history. Returns whether there was room.
    pub fn write_history(&self, text: Text) -> bool {
        self.thread.push(Job::History(text)).is_ok()
    }

    /// Whether a part of the history was not written since this was asked last.
    pub fn take_lost_history(&self) -> bool {
        self.has_lost_history.swap(false, Ordering::Relaxed)
    }

    /// Hands over a post-mortem. Returns whether there was room.
    pub fn keep(&self, report: PostMortem) -> bool {
        self.thread.push(Job::PostMortem(Box::new(report))).is_ok()
    }

    /// Waits until all is written, for `limit` at most. Returns whether it is.
    pub fn flush(&self, limit: Duration) -> bool {
        self.thread.flush(limit)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_regular_files_are_opened_and_none_stays_loose() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND;
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        open(&path, flags).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(open(&link, flags).is_err());
        let pipe = folder.path().join("pipe");
        let mode = Mode::from_raw_mode(FILE);
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, mode, 0).unwrap();
        assert!(open(&pipe, flags).is_err());
        assert!(open(&pipe, OFlags::RDONLY).is_err());
    }
}
