//! Opens what a path is, and nothing else.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use evonic_backend::WorkplaceError;
use rustix::fs::{FileType, Mode, OFlags, Stat, fstat};

use super::{
    error::{expect_type, failed},
    fd_scope::{FdScope, Opened},
    root::Root,
};

/// Opens a regular file for reading.
pub(super) fn open_file<'d>(
    scope: &'d FdScope,
    root: &Root,
    operation: &'static str,
    path: &str,
) -> Result<(Opened<'d, std::fs::File>, Stat), WorkplaceError> {
    let (handle, stat) = look(scope, root, operation, path)?;
    expect_type(path, &stat, FileType::RegularFile)?;
    let file = reopen(scope, &handle, OFlags::RDONLY).map_err(failed(operation, path))?;
    Ok((file.map(std::fs::File::from), stat))
}

/// A handle that says what a path is and does nothing to it.
pub(super) fn look<'d>(
    scope: &'d FdScope,
    root: &Root,
    operation: &'static str,
    path: &str,
) -> Result<(Opened<'d, OwnedFd>, Stat), WorkplaceError> {
    let handle = root.open(scope, operation, path, OFlags::PATH)?;
    let stat = fstat(&*handle).map_err(|error| failed(operation, path)(error.into()))?;
    Ok((handle, stat))
}

/// Opens what a handle stands for, and nothing else, whatever its path leads to by now.
pub(super) fn reopen<'d>(
    scope: &'d FdScope,
    handle: &OwnedFd,
    flags: OFlags,
) -> io::Result<Opened<'d, OwnedFd>> {
    let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let path = format!("/proc/self/fd/{}", handle.as_raw_fd());
    scope.open(|| Ok(rustix::fs::open(path, flags, Mode::empty())?))
}
