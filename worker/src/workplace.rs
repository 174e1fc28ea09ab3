//! Where tools act: the local workplace, its files and its commands.
//!
//! The next kinds (Docker, SSH) will stand beside [`Local`] behind one trait; its methods are
//! written with them in mind: no method hands out a local path or a local process.
//!
//! # Invariants
//! - Paths of file operations do not leave a confined root, whatever is renamed or linked
//!   meanwhile: the kernel resolves them. Commands are *not* confined: they run as the service's
//!   user and can go where it can.
//! - Nothing that a command started outlives the call, as far as it can be found: see
//!   [`Local::run`].

mod command;
mod error;
mod files;
#[cfg(test)]
pub(crate) mod fixture;
mod pool;

use std::{sync::Arc, time::Duration};

use evonic_shared::config;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use error::WorkplaceError;

use self::{
    command::Commands,
    files::{Files, Root},
};
use crate::handles::Budget;

/// The local workplace: a folder, and commands run in it as the service's user.
#[derive(Clone, Debug)]
pub struct Local {
    commands: Arc<Commands>,
    files: Arc<Files>,
}

/// A command to run.
#[derive(Clone, Debug)]
pub struct CommandSpec {
    /// Program and arguments: `["bash", "-c", "..."]`. A program without a slash is looked for
    /// in `PATH`.
    pub argv: Vec<String>,
    /// What it reads from its standard input, which then ends.
    pub stdin: Vec<u8>,
    /// Folder, relative to the root; the root itself when empty.
    pub folder: String,
    /// Ends it when it has run this long.
    pub timeout: Duration,
    /// Value of `EVONIC_CALL` in its environment: finds its processes again. Calls that run at
    /// the same time have different ones.
    pub mark: String,
}

/// How a command ended, and what it left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// How it ended.
    pub ended: Ended,
    /// Processes of its group or with its mark that still ran when it ended, and were killed.
    pub left_behind: u32,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this exit code.
    Exited(i32),
    /// By this signal's number.
    Signalled(i32),
    /// It ran out of time and was killed, with everything it had started.
    TimedOut,
    /// It was cancelled and killed, with everything it had started.
    Cancelled,
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FileType {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// Anything else.
    Other,
}

/// An entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Entry {
    /// Path, relative to the folder that was listed.
    pub path: String,
    /// What it is.
    pub file_type: FileType,
    /// Size in bytes of a regular file; 0 else.
    pub size_bytes: u64,
}

/// Lines of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// The bytes of the lines, line ends included.
    pub text: Vec<u8>,
    /// The number of the first line, from 1.
    pub first: u64,
    /// How many whole lines there are in `text`.
    pub count: u64,
    /// Lines of the whole file; [`None`] when it is too long to count them.
    pub total: Option<u64>,
    /// Size of the whole file.
    pub size_bytes: u64,
    /// Whether the first line did not fit and `text` is only its beginning.
    pub cut: bool,
    /// The length of that line.
    pub cut_line_bytes: u64,
    /// Whether it is no text (a zero byte near its beginning); `text` is empty then.
    pub binary: bool,
}

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The lines, by path and number.
    pub matches: Vec<Match>,
    /// Whether there may be more.
    pub more: bool,
    /// Files and folders that could not be read.
    pub unreadable: u32,
}

/// A line that matches.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Match {
    /// Path, relative to the root.
    pub path: String,
    /// Line number from 1.
    pub line: u64,
    /// The line, shortened to 500 characters around the match.
    pub text: String,
}

impl Local {
    /// The workplace at the configured root, which is made if it is missing. Reads the service's
    /// environment, once. Starts eight threads, which end when the last clone is dropped.
    ///
    /// # Errors
    /// [`WorkplaceError`] when the root cannot be made or is no folder.
    pub fn new(
        workplace: &config::Workplace,
        tools: &config::Tools,
        budget: Budget,
    ) -> Result<Self, WorkplaceError> {
        let root = Arc::new(Root::new(workplace)?);
        let commands = Commands::new(budget.clone(), Arc::clone(&root), &tools.environment);
        let commands = Arc::new(commands.map_err(WorkplaceError::Threads)?);
        let files = Arc::new(Files::new(budget, root).map_err(WorkplaceError::Threads)?);
        Ok(Self { commands, files })
    }

    /// Runs a command; its output (standard output and error as they come, interleaved) goes to
    /// `output`, which is bounded: a slow reader slows the command. Returns when it ended and
    /// nothing of its output is left. When `cancel` fires, the time is out, or the future is
    /// dropped, its process group and every process that carries its mark are killed.
    ///
    /// The environment is `PATH`, `LANG`, `TZ` (the service's), `HOME` (the root), `TERM=dumb`,
    /// `EVONIC_CALL` (the mark), and what `tools.environment` names. Standard input ends after
    /// the given bytes. The command leads a process group, with an empty signal mask; signals that
    /// the service itself was started to ignore stay ignored, but for SIGPIPE.
    ///
    /// A descriptor inherited by a process that the command left behind does not keep the call
    /// from returning: its output is read until it is silent for 200 ms, for a second at the
    /// most. Then what was left behind is killed and counted.
    ///
    /// Holds one `child` permit.
    ///
    /// # Errors
    /// [`WorkplaceError`] when it cannot be started.
    pub async fn run(
        &self,
        spec: CommandSpec,
        output: mpsc::Sender<Vec<u8>>,
        cancel: &CancellationToken,
    ) -> Result<Finished, WorkplaceError> {
        self.commands.run(spec, output, cancel).await
    }

    /// Kills every process that carries this mark: what a dead worker's command left behind.
    /// Returns how many there were. Holds one `child` permit.
    ///
    /// # Errors
    /// [`WorkplaceError`] when `/proc` cannot be read.
    pub async fn kill_marked(&self, mark: &str) -> Result<u32, WorkplaceError> {
        self.commands.kill_marked(mark).await
    }

    /// Waits until every call is over, also those whose future was dropped: their processes are
    /// dead and their permits given back. For the end of a drain.
    pub async fn idle(&self) {
        self.commands.idle().await;
    }

    /// Reads at most `limit` bytes from `offset`; also returns the file's size.
    ///
    /// # Errors
    /// [`WorkplaceError`]: not found, outside the root, no regular file, no permission.
    pub async fn read(
        &self,
        path: &str,
        offset: u64,
        limit: u64,
    ) -> Result<(Vec<u8>, u64), WorkplaceError> {
        self.files.read(path, offset, limit).await
    }

    /// Reads the lines `from` to `to` (from 1, both included; to the end when absent): as many
    /// whole ones as fit into `limit` bytes.
    ///
    /// # Errors
    /// As [`Local::read`].
    pub async fn read_lines(
        &self,
        path: &str,
        from: u64,
        to: Option<u64>,
        limit: u64,
    ) -> Result<Lines, WorkplaceError> {
        self.files.read_lines(path, from, to, limit).await
    }

    /// Writes a file whole or not at all: a temporary file beside it, fsync, rename, fsync of the
    /// folder. Keeps the mode of a file that is there, and follows a link to its target; missing
    /// folders are made. A file that may not be written is not replaced.
    ///
    /// # Errors
    /// [`WorkplaceError`].
    pub async fn write(&self, path: &str, content: Vec<u8>) -> Result<(), WorkplaceError> {
        self.files.write(path, content).await
    }

    /// Reads a file, changes its content and writes it as [`Local::write`] does, unless `change`
    /// refuses or somebody else changed the file meanwhile. `change` may also return a value.
    /// It runs on a thread that may be busy for long.
    ///
    /// # Errors
    /// [`WorkplaceError`]; a refusal is the inner error.
    pub async fn edit<T: Send + 'static, E: Send + 'static>(
        &self,
        path: &str,
        limit_bytes: u64,
        change: impl FnOnce(&[u8]) -> Result<(Vec<u8>, T), E> + Send + 'static,
    ) -> Result<Result<T, E>, WorkplaceError> {
        self.files.edit(path, limit_bytes, change).await
    }

    /// Entries of a folder, sorted by path, down to `depth` levels (1: the folder itself), at
    /// most `limit`; also returns whether there were more. Links are not followed.
    ///
    /// # Errors
    /// [`WorkplaceError`].
    pub async fn list(
        &self,
        path: &str,
        depth: u32,
        limit: u32,
    ) -> Result<(Vec<Entry>, bool), WorkplaceError> {
        self.files.list(path, depth, limit).await
    }

    /// Lines that match a regular expression in the file `path`, or in the files below it whose
    /// path matches `glob` (by the rules of `.gitignore`: `*.rs` at any depth, `src/**` below the
    /// folder that is searched). Honours `.gitignore` files from the root down; `.git`, binary
    /// files and links are passed over.
    ///
    /// # Errors
    /// [`WorkplaceError`], with the expression's own fault when it is wrong.
    pub async fn search(
        &self,
        pattern: &str,
        path: &str,
        glob: Option<&str>,
        limit: u32,
    ) -> Result<Found, WorkplaceError> {
        self.files.search(pattern, path, glob, limit).await
    }
}
