//! What has no safe form: descriptors that the runner leaves open for the program in the sandbox,
//! and what a process does between fork and exec.
#![allow(unsafe_code, reason = "see above")]

use std::{
    io,
    os::{
        fd::{FromRawFd, OwnedFd, RawFd},
        unix::process::CommandExt,
    },
    process::Command,
};

use rustix::{
    io::{FdFlags, fcntl_setfd},
    process::setsid,
};

/// Takes over a descriptor of this number, which nothing that is started from now on inherits.
///
/// # Errors
/// The operating system's, when it is not open; [`io::ErrorKind::InvalidInput`] for a standard
/// descriptor.
pub(crate) fn take(number: RawFd) -> io::Result<OwnedFd> {
    if number <= 2 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: the runner opened it for this program and named it once in its arguments, which are
    // read once; nothing else here has been opened yet. If it is not open, the call below fails,
    // and closing it again is refused.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    fcntl_setfd(&fd, FdFlags::CLOEXEC)?;
    Ok(fd)
}

/// Lets what is started lead a session of its own.
pub(crate) fn lead_session(command: &mut Command) {
    // SAFETY: between fork and exec only async-signal-safe functions may be called. It calls
    // setsid(2), and allocates nothing, also when that fails.
    unsafe {
        command.pre_exec(|| setsid().map(drop).map_err(io::Error::from));
    }
}
