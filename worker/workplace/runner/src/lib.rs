//! One local command: a process of ours owns it from its start to its end.
//!
//! The worker starts `evonic-runner` with a [`Spec`]; the runner outlives the worker, and dies with
//! the unit. No other process writes the command's record, and no command reaches it.
//!
//! ```text
//! worker --spec--> runner --[bwrap]--> init --> command and what it starts
//!    ^    events     | ^                 |         | output (a pipe)
//!    +---------------+ +--- how it ended-+---------+
//!                    |
//!                    +--> RECORDS/COMMAND_ID/   record, socket, out, status, tmp/
//! ```
//!
//! | Part | Owns |
//! |---|---|
//! | [`spec`] | what the worker asks for |
//! | [`record`] | the folder of a command: who wrote what, and how it is read with suspicion |
//! | [`protocol`] | what runner and followers say to each other |
//! | `runner` | the loop: output, time, followers, the end |
//! | [`process`] | which process it is, and what `/proc` has to show for that |
//! | `bubblewrap` | the arguments of `bwrap` |
//! | `init` | the first process inside: confines, starts, reaps and ends the command |
//! | [`confinement`], `seccomp` | the second and the third layer, put on within |
//!
//! # Invariants
//! - A command starts at most once: only the runner that writes `record` into its folder starts
//!   anything.
//! - Nothing that a command can write is read from the record's folder.
//! - The command's text stands in no argument list but its own.
//! - When the runner dies, so does the command.

mod bubblewrap;
pub mod confinement;
mod init;
mod kill;
pub mod process;
pub mod protocol;
mod raw;
pub mod record;
mod runner;
mod seccomp;
pub mod spec;

use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
};

pub use self::{
    process::{Identity, Life},
    record::{Ended, Status},
    spec::{Level, Spec},
};

/// The program: `evonic-runner` with a spec as standard input, or `evonic-runner init ...` inside
/// of a sandbox.
#[must_use]
pub fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    let done = match arguments.next() {
        None => runner::main(),
        Some(first) if first == "init" => init::main(arguments),
        Some(_) => Err("it is started by evonic, with a spec as its standard input".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::disallowed_methods, reason = "read by the runner, or nobody's")]
            let mut errors = std::io::stderr();
            let _nobody =
                std::io::Write::write_fmt(&mut errors, format_args!("evonic-runner: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

/// Where a command's temporary files are, outside of its sandbox: in its record, or in the workplace
/// where its user reaches no record.
#[must_use]
pub fn temporary(sandbox: &spec::Sandbox, record: &Path) -> PathBuf {
    if sandbox.user.is_some() && sandbox.level != Level::Namespaces {
        return sandbox.root.clone();
    }
    record.join("tmp")
}

/// What ends this program: said once, to who started it.
type Failure = Box<dyn std::error::Error>;
