//! Where tools act: the local workplace, its files and its commands.
//!
//! The next kinds (Docker, SSH) will stand beside [`Local`] behind one trait; its methods are
//! written with them in mind: no method hands out a local path or a local process.

mod command;
mod error;
mod files;

use std::{sync::Arc, time::Duration};

use evonic_shared::config;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use error::WorkplaceError;

use crate::handles::Budget;

/// The local workplace: a folder, and commands run in it as the service's user.
#[derive(Clone, Debug)]
pub struct Local {
    inner: Arc<()>,
}

/// A command to run.
#[derive(Clone, Debug)]
pub struct CommandSpec {
    /// Program and arguments: `["bash", "-c", "..."]`.
    pub argv: Vec<String>,
    /// Written to its standard input, which is then closed.
    pub stdin: Vec<u8>,
    /// Folder, relative to the root.
    pub folder: String,
    /// Ends it when it has run this long.
    pub timeout: Duration,
    /// Value of `EVONIC_CALL` in its environment: finds its processes again.
    pub mark: String,
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

impl Local {
    /// The workplace at the configured root, which is made if it is missing.
    ///
    /// # Errors
    /// [`WorkplaceError`] when the root cannot be made or is no folder.
    pub fn new(
        workplace: &config::Workplace,
        tools: &config::Tools,
        budget: Budget,
    ) -> Result<Self, WorkplaceError> {
        let _ = (workplace, tools, budget);
        todo!()
    }

    /// Runs a command; its output (standard output and error as they come, interleaved) goes to
    /// `output`, which is bounded: a slow reader slows the command. Returns when it ended and
    /// nothing of its output is left. When `cancel` fires, the time is out, or the future is
    /// dropped, its process group and every process that carries its mark are killed.
    ///
    /// Holds one `child` permit. A descriptor inherited by a process that the command left behind
    /// does not keep the call from returning.
    ///
    /// # Errors
    /// [`WorkplaceError`] when it cannot be started.
    pub async fn run(
        &self,
        spec: CommandSpec,
        output: mpsc::Sender<Vec<u8>>,
        cancel: &CancellationToken,
    ) -> Result<Ended, WorkplaceError> {
        let _ = (&self.inner, spec, output, cancel);
        todo!()
    }

    /// Kills every process that carries this mark: what a dead worker's command left behind.
    /// Returns how many there were.
    ///
    /// # Errors
    /// [`WorkplaceError`] when `/proc` cannot be read.
    pub async fn kill_marked(&self, mark: &str) -> Result<u32, WorkplaceError> {
        let _ = mark;
        todo!()
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
        let _ = (path, offset, limit);
        todo!()
    }

    /// Writes a file whole or not at all: a temporary file beside it, fsync, rename. Keeps the
    /// mode of a file that is there; missing folders are made.
    ///
    /// # Errors
    /// [`WorkplaceError`].
    pub async fn write(&self, path: &str, content: Vec<u8>) -> Result<(), WorkplaceError> {
        let _ = (path, content);
        todo!()
    }

    /// Entries of a folder, sorted by path, down to `depth` levels (1: the folder itself), at
    /// most `limit`; also returns whether there were more.
    ///
    /// # Errors
    /// [`WorkplaceError`].
    pub async fn list(
        &self,
        path: &str,
        depth: u32,
        limit: u32,
    ) -> Result<(Vec<Entry>, bool), WorkplaceError> {
        let _ = (path, depth, limit);
        todo!()
    }

    /// Lines that match a regular expression in files below `path` whose path matches `glob`,
    /// honouring `.gitignore`; binary files are passed over.
    ///
    /// # Errors
    /// [`WorkplaceError`], with the expression's own fault when it is wrong.
    pub async fn search(
        &self,
        pattern: &str,
        path: &str,
        glob: Option<&str>,
        limit: u32,
    ) -> Result<(Vec<Match>, bool), WorkplaceError> {
        let _ = (pattern, path, glob, limit);
        todo!()
    }
}

/// A line that matches.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Match {
    /// Path, relative to the root.
    pub path: String,
    /// Line number from 1.
    pub line: u64,
    /// The line, shortened to 500 characters.
    pub text: String,
}
