//! The files of an open database, and whether they still have their names.
//!
//! SQLite does not notice that its file was removed or another one was put in its place: it goes on
//! in a file without a name, and a handle that is opened by then has another file, with the log of
//! the first. So each file's identity is remembered when it is opened, and compared by `stat`
//! before a handle is opened and before and after a commit. Nothing is opened for that: closing a
//! descriptor would drop SQLite's locks.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Device and inode.
type FileId = (u64, u64);

/// What SQLite adds to the database's name: for its log and for its shared memory.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// The files of one open database.
#[derive(Debug)]
pub(super) struct DbFiles {
    files: Vec<(PathBuf, FileId)>,
    /// The size of the database's file: it shrinks only when somebody compacts it.
    bytes: u64,
}

/// What happened to a file of an open database.
#[derive(Debug)]
pub(super) enum Moved {
    /// It has no name any more.
    Gone(PathBuf),
    /// Another one has its name.
    Other(PathBuf),
    /// It is shorter than what is in it.
    Cut,
    /// It cannot be looked at.
    Unseen(PathBuf, io::Error),
}

impl DbFiles {
    /// The files that have the names now: right after they were opened.
    pub(super) fn opened(path: &Path) -> Result<Self, Moved> {
        let mut files = Vec::with_capacity(1 + BESIDE.len());
        let (file, bytes) = look(path)?;
        files.push((path.to_owned(), file));
        for end in BESIDE {
            let path = beside(path, end);
            match look(&path) {
                Ok((file, _)) => files.push((path, file)),
                // A handle without shared memory has none.
                Err(Moved::Gone(_)) => {}
                Err(unseen) => return Err(unseen),
            }
        }
        Ok(Self { files, bytes })
    }

    /// Whether the database's file is the same in both.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.files.first() == other.files.first()
    }

    /// Whether each has its name. Returns the size of the database's file.
    pub(super) fn check(&self) -> Result<u64, Moved> {
        let mut bytes = None;
        for (path, file) in &self.files {
            let (found, size) = look(path)?;
            if found != *file {
                return Err(Moved::Other(path.clone()));
            }
            bytes = bytes.or(Some(size));
        }
        Ok(bytes.unwrap_or(0))
    }

    /// As [`DbFiles::check`], and whether the file is whole: `content` says how many bytes the
    /// database has, of which none were in its log only when the file was last seen longer.
    pub(super) fn check_whole(
        &mut self,
        content: impl FnOnce() -> Option<u64>,
    ) -> Result<(), Moved> {
        let bytes = self.check()?;
        let before = std::mem::replace(&mut self.bytes, bytes);
        if bytes < before && content().is_none_or(|content| bytes < content.min(before)) {
            self.bytes = before;
            return Err(Moved::Cut);
        }
        Ok(())
    }
}

/// Whether there is nothing at the path, or an empty file.
pub(super) fn is_empty(path: &Path) -> bool {
    match fs::metadata(path) {
        Ok(found) => found.is_file() && found.len() == 0,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn look(path: &Path) -> Result<(FileId, u64), Moved> {
    match fs::metadata(path) {
        Ok(found) => Ok(((found.dev(), found.ino()), found.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Moved::Gone(path.to_owned())),
        Err(error) => Err(Moved::Unseen(path.to_owned(), error)),
    }
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(folder: &Path) -> PathBuf {
        let path = folder.join("some.db");
        for (end, bytes) in [("", 4096), ("-wal", 32), ("-shm", 32)] {
            fs::write(beside(&path, end), vec![0; bytes]).unwrap();
        }
        path
    }

    #[test]
    fn each_file_that_goes_or_is_another_is_named() {
        for end in ["", "-wal", "-shm"] {
            let folder = tempfile::tempdir().unwrap();
            let path = make(folder.path());
            let files = DbFiles::opened(&path).unwrap();
            assert_eq!(files.check().unwrap(), 4096);
            let one = beside(&path, end);
            fs::rename(&one, folder.path().join("aside")).unwrap();
            let gone = files.check();
            assert!(matches!(&gone, Err(Moved::Gone(path)) if *path == one), "{gone:?}");
            fs::write(&one, "").unwrap();
            let other = files.check();
            assert!(matches!(&other, Err(Moved::Other(path)) if *path == one), "{other:?}");
            fs::rename(folder.path().join("aside"), &one).unwrap();
            assert!(files.check().is_ok(), "it is back");
        }
    }

    #[test]
    fn a_file_that_was_compacted_is_not_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = make(folder.path());
        let mut files = DbFiles::opened(&path).unwrap();
        let cut = |bytes| fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(bytes);
        cut(2048).unwrap();
        for _ in 0..2 {
            let damaged = files.check_whole(|| Some(4096));
            assert!(matches!(damaged, Err(Moved::Cut)), "{damaged:?}");
        }
        files.check_whole(|| Some(2048)).unwrap();
        // The rest of a database that grew is in its log.
        files.check_whole(|| Some(8192)).unwrap();
        cut(0).unwrap();
        assert!(matches!(files.check_whole(|| Some(2048)), Err(Moved::Cut)));
    }
}
