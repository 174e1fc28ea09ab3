//! The two calls that the compiler cannot check.
#![allow(unsafe_code, reason = "adopting an inherited descriptor and _exit(2) have no safe form")]

use std::{
    io,
    os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use evonic_shared::exit::ExitCode;
use rustix::io::FdFlags;

/// Takes over an inherited descriptor, close-on-exec from now on.
///
/// # Errors
/// The OS error when there is no such descriptor.
pub(super) fn adopt(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the borrow ends before this function does, and the kernel says EBADF for a number
    // that is not open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_setfd(borrowed, FdFlags::CLOEXEC)?;
    // SAFETY: it is open, and nothing else in this program owns it: this is called once for each
    // number that `LISTEN_FDS` names, before any other thread is started.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Ends the process now: no destructor and no exit handler runs that could hang (`_exit(2)`).
pub(super) fn end_process(code: ExitCode) -> ! {
    // SAFETY: it has no precondition and does not return.
    unsafe { nix::libc::_exit(i32::from(code.code())) }
}
