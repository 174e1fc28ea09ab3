//! Findings in words.

use std::time::Duration;

use evonic_shared::status::Exit;

/// `4.1 s`.
pub(super) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// `killed by SIGSEGV`.
pub(super) fn end(exit: &Exit) -> String {
    match exit {
        Exit::Code { code } => format!("exited with code {code}"),
        Exit::Signal { signal, .. } => format!("killed by {signal}"),
        Exit::NotStarted { error } => format!("could not be started: {error}"),
    }
}
