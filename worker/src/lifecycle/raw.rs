//! The three calls that the compiler cannot check.
#![allow(
    unsafe_code,
    reason = "adopting an inherited descriptor, what a child does before it runs, and \
                               _exit(2) have no safe form"
)]

use std::{
    io,
    os::{
        fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::process::CommandExt,
    },
    process::Command,
};

use evonic_shared::exit::ExitCode;
use nix::sys::signal::SigSet;
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

/// Makes a command start with no signal blocked, as programs expect it: a worker blocks some.
pub(super) fn unblock_signals(command: &mut Command) {
    let unblock = || SigSet::empty().thread_set_mask().map_err(io::Error::from);
    // SAFETY: between fork and exec it calls pthread_sigmask(3) alone, which is async-signal-safe,
    // and allocates nothing.
    unsafe { command.pre_exec(unblock) };
}

/// Ends the process now: no destructor and no exit handler runs that could hang (`_exit(2)`).
pub(super) fn end_process(code: ExitCode) -> ! {
    // SAFETY: it has no precondition and does not return.
    unsafe { nix::libc::_exit(i32::from(code.code())) }
}
