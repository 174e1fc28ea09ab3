//! `evonic-supervisor`: see the library's map.

use std::process::ExitCode;

fn main() -> ExitCode {
    evonic_supervisor::run(std::env::args_os().skip(1)).into()
}
