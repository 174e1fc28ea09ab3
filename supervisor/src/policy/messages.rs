//! Messages about findings and exits.

use std::time::Duration;

use evonic_shared::{exit::ExitCode, status::Exit};

/// `4.1 s`.
pub(super) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// `killed by SIGSEGV`, `exited with code 78 (its configuration is refused)`.
pub(super) fn exit(exit: &Exit) -> String {
    match exit {
        Exit::Code { code } => match ExitCode::meaning(*code) {
            Some(meaning) => format!("exited with code {code} ({meaning})"),
            None => format!("exited with code {code}"),
        },
        Exit::Signal { signal, .. } => format!("killed by {signal}"),
        Exit::NotStarted { error } => format!("could not be started: {error}"),
    }
}

/// Whether the next start would end in the same way, unless somebody mends something.
pub(super) fn is_permanent(exit: &Exit) -> bool {
    match exit {
        Exit::Code { code } => ExitCode::is_permanent(*code),
        Exit::Signal { .. } => false,
        Exit::NotStarted { .. } => true,
    }
}
