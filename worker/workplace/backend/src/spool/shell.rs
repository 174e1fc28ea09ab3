//! What the spool needs of a machine: a way to run a script of the POSIX shell there.

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::WorkplaceError;

/// A machine that can run a script of the POSIX shell.
#[async_trait]
pub trait Shell: std::fmt::Debug + Send + Sync {
    /// Runs `script` by `/bin/sh` there, attached, and hands on what it writes as it comes. `said`
    /// is bounded. Returns when the script's shell ended and everything it wrote was handed on, or
    /// the link broke. When the future is dropped the link is closed, and so is, soon, the script.
    ///
    /// A script need not read all of its input. Its environment has no `EVONIC_CALL`: what carries
    /// a command id is killed with the command.
    ///
    /// # Errors
    /// [`WorkplaceError`]; of [`Class::Transient`](crate::Class::Transient) when the link broke:
    /// whether the script ran is unknown then, unless the stage of [`WorkplaceError::Unreachable`]
    /// is one that did not [reach the host](crate::Stage::reached_host): then it certainly did not.
    async fn script(
        &self,
        script: Script,
        said: mpsc::Sender<Said>,
    ) -> Result<ScriptEnd, WorkplaceError>;

    /// The folder of all spools there, in which this service alone writes: a whole path. Made by
    /// the launcher, for its user only.
    ///
    /// # Errors
    /// [`WorkplaceError`] when the machine has to be asked and cannot be reached.
    async fn spools(&self) -> Result<String, WorkplaceError>;

    /// The folder that a command runs in: a whole path, or one relative to where scripts start.
    ///
    /// # Errors
    /// [`WorkplaceError`] when it cannot be entered.
    async fn folder(&self, folder: &str) -> Result<String, WorkplaceError>;
}

/// A script to run.
#[derive(Clone, Debug)]
pub struct Script {
    /// What `/bin/sh` runs: any POSIX shell, without a terminal.
    pub text: String,
    /// `$1`, `$2`, ... of it; without NUL.
    pub arguments: Vec<String>,
    /// What it reads from its standard input, which then ends.
    pub input: Bytes,
    /// What it is for.
    pub purpose: Purpose,
}

/// What a script is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Launches the command of this command id: the machine's limits and confinement are put on it, and
    /// its environment is that of commands.
    Launch {
        /// The command id.
        command_id: String,
    },
    /// Works for the service: follows, kills, looks, cleans up.
    Serve,
}

/// What a script wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// To its standard output.
    Out(Bytes),
    /// To its standard error.
    Err(Bytes),
}

/// How a script ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScriptEnd {
    /// With this exit code.
    Exited(i32),
    /// By a signal.
    Killed,
}
