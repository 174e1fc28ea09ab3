//! Small files, written whole or not at all.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use crate::folder::PRIVATE;

/// Makes a folder and its parents, for the service's user only. An existing one keeps its mode.
///
/// # Errors
/// The OS error.
pub fn make_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(PRIVATE).create(path)
}

/// Writes a file of this mode beside the target, synchronises it, renames it over the target and
/// synchronises the folder: a reader sees the old content or the new one, also after a loss of
/// power. One descriptor at a time.
///
/// # Errors
/// The OS error; the target is as it was.
pub fn replace(target: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut beside = target.as_os_str().to_owned();
    beside.push(".new");
    let beside = Path::new(&beside);
    match fs::remove_file(beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    drop(file);
    fs::rename(beside, target)?;
    sync_folder(target.parent().unwrap_or(Path::new(".")))
}

#[expect(clippy::disallowed_methods, reason = "opened to be synchronised, closed at once")]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
