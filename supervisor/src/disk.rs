//! Small files, written whole or not at all.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
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

/// Readable by the service's user and group, like the folders.
const FILE_MODE: u32 = 0o640;

/// Makes a folder and its parents, for the service's user and group only. An existing one keeps its
/// mode.
pub fn make_folder(path: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o750).create(path)
}

/// Writes a file beside the target, synchronises it, renames it over the target and synchronises
/// the folder: a reader sees the old content or the new one, also after a loss of power.
///
/// # Errors
/// The OS error; the target is as it was.
pub fn replace(target: &Path, content: &[u8]) -> io::Result<()> {
    let mut temporary = target.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = Path::new(&temporary);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(FILE_MODE)
        .open(temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(temporary, target)?;
    match target.parent() {
        Some(folder) => sync_folder(folder),
        None => Ok(()),
    }
}

/// Opens a file to append to, making it when it is missing.
pub fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(FILE_MODE).open(path)
}

#[expect(clippy::disallowed_methods, reason = "opened to be synchronised, closed at once")]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
