//! What the spool needs of a machine: a way to run a script of the POSIX shell there.

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::Result;

/// A machine that can run a script of the POSIX shell.
#[async_trait]
pub trait Shell: std::fmt::Debug + Send + Sync {
    /// Runs `script` by `/bin/sh` there, attached, and sends what it writes to `output`, which is
    /// bounded. Returns when the script's shell ended and all of its output was sent, or the link
    /// broke. When the future is dropped the link is closed, and the script ends soon after.
    ///
    /// A script need not read all of its input. Its environment has no `EVONIC_CALL`: what carries
    /// a command id is killed with the command.
    ///
    /// # Errors
    /// [`crate::WorkplaceError`]; of [`Class::Transient`](crate::Class::Transient) when the link broke:
    /// whether the script ran is unknown then, unless the stage of [`crate::WorkplaceError::Unreachable`]
    /// is one that did not [reach the host](crate::Stage::reached_host): then it certainly did not.
    async fn script(&self, script: Script, output: mpsc::Sender<ScriptOutput>)
    -> Result<ScriptEnd>;

    /// Whether a login shell stands before scripts, which may write what it likes.
    fn has_login_shell(&self) -> bool {
        true
    }

    /// The absolute path of the folder of all spools there, in which this service alone writes.
    /// Made by the launcher, for its user only.
    ///
    /// # Errors
    /// [`crate::WorkplaceError`] when the machine has to be asked and cannot be reached.
    async fn spools(&self) -> Result<String>;

    /// The folder that a command runs in: absolute, or relative to where scripts start.
    ///
    /// # Errors
    /// [`crate::WorkplaceError`] when it cannot be entered.
    async fn folder(&self, folder: &str) -> Result<String>;
}

/// A script to run.
#[derive(Clone, Debug)]
pub struct Script {
    /// For any POSIX shell, without a terminal.
    pub text: String,
    /// `$1`, `$2`, ...; without NUL.
    pub arguments: Vec<String>,
    /// Its standard input, which then ends.
    pub input: Bytes,
    pub purpose: Purpose,
}

/// What a script is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Launches a command: the machine's limits and confinement are put on it, and its environment
    /// is that of commands.
    Launch { command_id: String },
    /// Works for the service: follows, kills, looks, cleans up.
    Serve,
}

/// A chunk of a script's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScriptOutput {
    /// Standard output.
    Out(Bytes),
    /// Standard error.
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
