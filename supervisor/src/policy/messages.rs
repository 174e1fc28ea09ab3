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
        Exit::Code { code } => match meaning(*code) {
            Some(meaning) => format!("exited with code {code} ({meaning})"),
            None => format!("exited with code {code}"),
        },
        Exit::Signal { signal, .. } => format!("killed by {signal}"),
        Exit::NotStarted { error } => format!("could not be started: {error}"),
    }
}

/// What a worker's exit code means.
fn meaning(code: i32) -> Option<&'static str> {
    const MEANINGS: [(ExitCode, &str); 8] = [
        (ExitCode::Usage, "its command line is wrong"),
        (ExitCode::Software, "a defect"),
        (ExitCode::Os, "the operating system refuses what it needs"),
        (ExitCode::Io, "its database or a state file cannot be used"),
        (ExitCode::NoPermission, "it may not do what it must"),
        (ExitCode::Config, "its configuration is refused"),
        (ExitCode::Watchdog, "it could not drain in time"),
        (ExitCode::Orphaned, "it lost its supervisor"),
    ];
    let known = MEANINGS.iter().find(|(known, _)| i32::from(known.code()) == code);
    known.map(|(_, meaning)| *meaning)
}
