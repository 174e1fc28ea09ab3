//! `evonic-runner`: started by the worker, once for each local command.

use std::process::ExitCode;

fn main() -> ExitCode {
    evonic_runner::main()
}
