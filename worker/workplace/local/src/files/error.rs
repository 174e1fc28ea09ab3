//! Errors of operations on paths.

use std::io;

use evonic_backend::WorkplaceError;
use rustix::fs::{FileType, Stat};

/// An error of an operation on a path.
pub(super) fn failed(
    operation: &'static str,
    path: &str,
) -> impl Fn(io::Error) -> WorkplaceError + use<> {
    let path = path.to_owned();
    move |source| WorkplaceError::Path { operation, path: path.clone(), source }
}

pub(super) fn expect_type(path: &str, stat: &Stat, needed: FileType) -> Result<(), WorkplaceError> {
    let found = FileType::from_raw_mode(stat.st_mode);
    if found == needed {
        return Ok(());
    }
    let (found, needed) = (described(found), described(needed));
    Err(WorkplaceError::WrongType { path: path.to_owned(), found, needed })
}

const fn described(file_type: FileType) -> &'static str {
    match file_type {
        FileType::RegularFile => "a regular file",
        FileType::Directory => "a folder",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a named pipe",
        FileType::Socket => "a socket",
        FileType::CharacterDevice => "a character device",
        FileType::BlockDevice => "a block device",
        FileType::Unknown => "of an unknown kind",
    }
}
