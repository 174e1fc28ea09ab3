//! An operation on a path: what the path is, and how it is opened.

use std::{
    fs::File,
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use evonic_backend::{Result, WorkplaceError};
use rustix::fs::{FileType, Mode, OFlags, Stat, fstat};

use super::{
    fd_scope::{FdScope, Opened},
    root::Root,
};

/// For a folder whose names are read.
pub(super) const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

/// An operation on a path of the caller.
#[derive(Clone, Copy)]
pub(in super::super) struct Operation<'o> {
    pub(super) scope: &'o FdScope,
    pub(super) root: &'o Root,
    /// Whether the caller still waits for it.
    pub(super) is_waiting: &'o dyn Fn() -> bool,
    /// `read`, `write`: for errors.
    pub(super) name: &'static str,
    /// As the caller wrote it.
    pub(super) path: &'o str,
}

impl<'o> Operation<'o> {
    /// The same operation on another path.
    pub(super) fn at<'p>(self, path: &'p str) -> Operation<'p>
    where
        'o: 'p,
    {
        Operation { path, ..self }
    }

    /// Its error.
    pub(super) fn failed(self, source: impl Into<io::Error>) -> WorkplaceError {
        WorkplaceError::path(self.name, self.path, source)
    }

    /// An error unless the path is of this type.
    pub(super) fn expect_type(self, stat: &Stat, needed: FileType) -> Result<()> {
        let found = FileType::from_raw_mode(stat.st_mode);
        if found == needed {
            return Ok(());
        }
        let (found, needed) = (described(found), described(needed));
        Err(WorkplaceError::WrongType { path: self.path.to_owned(), found, needed })
    }

    /// A handle that says what the path is and does nothing to it.
    pub(super) fn look(self) -> Result<(Opened<'o, OwnedFd>, Stat)> {
        let handle = self.open(OFlags::PATH)?;
        let stat = fstat(&*handle).map_err(|error| self.failed(error))?;
        Ok((handle, stat))
    }

    /// Opens a regular file for reading.
    pub(super) fn open_file(self) -> Result<(Opened<'o, File>, Stat)> {
        let (handle, stat) = self.look()?;
        self.expect_type(&stat, FileType::RegularFile)?;
        let file = self.reopen(&handle, OFlags::RDONLY).map_err(|error| self.failed(error))?;
        Ok((file.map(File::from), stat))
    }

    /// Opens a folder for listing.
    pub(super) fn open_folder(self) -> Result<Opened<'o, OwnedFd>> {
        let (handle, stat) = self.look()?;
        self.expect_type(&stat, FileType::Directory)?;
        self.reopen(&handle, FOLDER).map_err(|error| self.failed(error))
    }

    /// Opens what a handle stands for, and nothing else, whatever its path leads to by now.
    pub(super) fn reopen(self, handle: &OwnedFd, flags: OFlags) -> io::Result<Opened<'o, OwnedFd>> {
        let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let path = format!("/proc/self/fd/{}", handle.as_raw_fd());
        self.scope.open(|| Ok(rustix::fs::open(path, flags, Mode::empty())?))
    }
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
