//! `evonic`: the worker and the operator's command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    evonic::console::main()
}
