//! `evonic-supervisor`: owns the listening sockets and one worker; watches, replaces, explains.

use std::process::ExitCode;

mod policy;

fn main() -> ExitCode {
    evonic_shared::exit::ExitCode::Usage.into()
}
