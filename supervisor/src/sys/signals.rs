//! Sets of signals.

use nix::{
    libc,
    sys::signal::{
        SigSet,
        Signal::{
            SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGPWR, SIGQUIT, SIGSTKFLT,
            SIGTERM, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXCPU, SIGXFSZ,
        },
    },
};

/// Every signal that this process reads as a message: those that would end it and that somebody may
/// send, its children's, that it goes on after a stop, and those by which a terminal stops who writes
/// to it from the background: blocked, they are not sent at all. Not among them are SIGTSTP, by which
/// a person stops it, and the signals of the process's own faults.
pub fn messages() -> SigSet {
    let named: SigSet = [
        SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGPWR, SIGQUIT, SIGSTKFLT,
        SIGTERM, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXCPU, SIGXFSZ,
    ]
    .into_iter()
    .collect();
    let mut set = *named.as_ref();
    for signal in libc::SIGRTMIN()..=libc::SIGRTMAX() {
        // SAFETY: `set` is initialised, and a number that is no signal is refused.
        unsafe { libc::sigaddset(&raw mut set, signal) };
    }
    // SAFETY: `sigaddset` leaves a set that is one.
    unsafe { SigSet::from_sigset_t_unchecked(set) }
}

/// What a child starts with: it may write to a terminal from the background.
pub(super) fn of_child() -> SigSet {
    [SIGTTIN, SIGTTOU].into_iter().collect()
}
