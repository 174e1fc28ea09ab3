//! The signals that a script does not hear: none.
//!
//! The worker's threads block the signals that its control thread reads, and the standard library
//! hands that mask on to what it starts (since Rust 1.66). What is blocked at its start stays so
//! through every shell and program below: no `timeout`, no `kill` would end a command.
#![allow(unsafe_code, reason = "what runs between fork and exec has no safe form")]

use std::{io, os::unix::process::CommandExt, process::Command};

use nix::sys::signal::SigSet;

/// Lets the process that is started hear every signal.
pub(super) fn clear(command: &mut Command) {
    // SAFETY: between fork and exec only async-signal-safe functions may be called. It calls
    // sigprocmask(2) on a value of its own, and allocates nothing, also when that fails.
    unsafe {
        command.pre_exec(|| SigSet::empty().thread_set_mask().map_err(io::Error::from));
    }
}
