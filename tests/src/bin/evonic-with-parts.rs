//! Starts what many tests share, runs a command, and stops it again, whatever the command's end:
//! `evonic-with-parts COMMAND...`. Each test is a process of its own, and finds the Docker engine by
//! a variable.

use std::{
    env,
    process::{Command, ExitCode},
};

use evonic_parts::{Engine, SHARED_ENGINE};
use evonic_tests::machine;
use nix::sys::signal::{SigSet, Signal};

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        eprintln!("usage: evonic-with-parts COMMAND...");
        return ExitCode::from(64);
    };
    // Ctrl-C ends the command. This program outlives it, to stop what it started.
    let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
    signals.thread_block().expect("a mask of signals");
    let _base = machine::base();
    let engine = Engine::start();
    engine.make_image();
    let command =
        Command::new(program).args(arguments).env(SHARED_ENGINE, engine.folder()).status();
    drop(engine);
    match command {
        Ok(status) => {
            let code = status.code().and_then(|code| u8::try_from(code).ok());
            ExitCode::from(code.unwrap_or(1))
        }
        Err(error) => {
            eprintln!("evonic-with-parts: the command does not start: {error}");
            ExitCode::from(127)
        }
    }
}
