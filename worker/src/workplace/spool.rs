//! Commands that outlive the worker, its connections and the engine.
//!
//! Every command runs under a small POSIX shell in its own session, with a folder of its own on its
//! own machine: the spool. Whoever wants to know reads there.
//!
//! ```text
//! SPOOLS/MARK/            made by `mkdir`, which only one shell can do: the command runs once
//!     watcher             pid and start time of the shell that watches over it, boot, limits
//!     in                  what it reads
//!     out                 standard output and error, appended in their order
//!     status              one line, last of all: how it ended, what was left behind and killed
//! ```
//!
//! - The **launcher** is attached: it makes the folder, starts the watcher away from itself, shows
//!   the output, and says the status at the end. It may die at any time.
//! - The **watcher** leads a session of its own, starts the command, keeps its time and its output
//!   within their limits, kills what it leaves behind, writes the status.
//! - A **follower** is attached later, from a byte on.
//! - Processes are found by their session, and by the mark in their environment (`EVONIC_CALL`).

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use evonic_shared::config;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{CommandSpec, Finished, WorkplaceError};

/// A machine that can run a script of the POSIX shell.
#[async_trait]
pub(super) trait Shell: std::fmt::Debug + Send + Sync {
    /// Runs `script` by `/bin/sh` there, attached, and hands on what it writes as it comes. `said`
    /// is bounded. Returns when the script's shell ended and everything it wrote was handed on, or
    /// the link broke. When the future is dropped the link is closed, and so is, soon, the script.
    ///
    /// # Errors
    /// [`WorkplaceError`]; of [`super::Class::Transient`] when the link broke: whether the script
    /// ran cannot be told.
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
pub(super) struct Script {
    /// What `/bin/sh` runs: any POSIX shell, without a terminal.
    pub(super) text: String,
    /// `$1`, `$2`, ... of it; without NUL.
    pub(super) arguments: Vec<String>,
    /// What it reads from its standard input, which then ends.
    pub(super) input: Bytes,
    /// What it is for.
    pub(super) purpose: Purpose,
}

/// What a script is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Launches the command of this mark: the machine's limits and confinement are put on it, and
    /// its environment is that of commands.
    Launch {
        /// The mark.
        mark: String,
    },
    /// Works for the service: follows, kills, looks, cleans up.
    Serve,
}

/// What a script wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// To its standard output.
    Out(Bytes),
    /// To its standard error.
    Err(Bytes),
}

/// How a script ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScriptEnd {
    /// With this exit code.
    Exited(i32),
    /// By a signal.
    Killed,
}

/// The commands of one machine. Shared by cloning.
#[derive(Debug)]
pub(super) struct Spool<S> {
    shell: Arc<S>,
    settings: config::Spool,
}

impl<S> Clone for Spool<S> {
    fn clone(&self) -> Self {
        Self { shell: Arc::clone(&self.shell), settings: self.settings.clone() }
    }
}

impl<S: Shell> Spool<S> {
    /// The commands of the machine behind this shell.
    pub(super) fn new(shell: Arc<S>, settings: config::Spool) -> Self {
        Self { shell, settings }
    }

    /// See [`super::Place::run`].
    pub(super) async fn run(
        &self,
        spec: CommandSpec,
        output: mpsc::Sender<Bytes>,
        cancel: &CancellationToken,
    ) -> Result<Finished, WorkplaceError> {
        let _ = (&self.shell, &self.settings, spec, output, cancel);
        todo!("the spool room")
    }

    /// See [`super::Place::attach`].
    pub(super) async fn attach(
        &self,
        mark: &str,
        from: u64,
        output: mpsc::Sender<Bytes>,
        cancel: &CancellationToken,
    ) -> Result<Finished, WorkplaceError> {
        let _ = (mark, from, output, cancel);
        todo!("the spool room")
    }

    /// See [`super::Place::output`].
    pub(super) async fn output(
        &self,
        mark: &str,
        from: u64,
        limit: u64,
    ) -> Result<Bytes, WorkplaceError> {
        let _ = (mark, from, limit);
        todo!("the spool room")
    }

    /// See [`super::Place::kill`].
    pub(super) async fn kill(&self, mark: &str) -> Result<u32, WorkplaceError> {
        let _ = mark;
        todo!("the spool room")
    }

    /// See [`super::Place::forget`]: what is forgotten is removed by the next script that runs
    /// there, or by [`Spool::tidy`].
    pub(super) fn forget(&self, mark: &str) {
        let _ = mark;
        todo!("the spool room")
    }

    /// Removes what was forgotten, and records older than `spool.keep` whose command has ended.
    ///
    /// # Errors
    /// [`WorkplaceError`].
    pub(super) async fn tidy(&self) -> Result<(), WorkplaceError> {
        todo!("the spool room")
    }
}
