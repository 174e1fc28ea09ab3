//! The signals of a worker.

use nix::sys::signal::{SigSet, Signal};

/// The signals that this process takes as messages: to end, or to go on after a stop; and those to be
/// passed over with a line, that would end it without one.
pub(super) fn signals() -> SigSet {
    [
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGHUP,
        Signal::SIGCONT,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGALRM,
        Signal::SIGVTALRM,
        Signal::SIGPROF,
        Signal::SIGIO,
        Signal::SIGPWR,
        Signal::SIGSTKFLT,
        Signal::SIGXCPU,
        Signal::SIGXFSZ,
    ]
    .into_iter()
    .collect()
}
