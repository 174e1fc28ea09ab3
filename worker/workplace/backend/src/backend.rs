//! The trait of every workplace, and its data.

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream::BoxStream};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Result, Rewrite, Written, batch::SmallFile, lines};
use evonic_domain::WorkplaceKind;

/// A workplace, opened for one session. Shared by cloning its `Arc`; what it holds is closed when
/// nothing uses it, or by `Workplaces::close`.
///
/// Paths are as an agent writes them: relative to the workplace's folder; absolute, or with `~`,
/// where the kind allows it.
#[async_trait]
pub trait Backend: std::fmt::Debug + Send + Sync {
    fn kind(&self) -> WorkplaceKind;

    /// News for the agent, to go with its next result: that its container was made anew, that
    /// memory ran out. Returned once.
    fn news(&self) -> Option<String> {
        None
    }

    /// The home of its user, as its machine reports it.
    ///
    /// # Errors
    /// [`crate::WorkplaceError`] when it cannot be reached, or has none.
    async fn home(&self) -> Result<String>;

    /// The commands of its machine.
    fn commands(&self) -> &dyn Commands;

    /// What is at a path; links are followed.
    ///
    /// # Errors
    /// [`crate::WorkplaceError`].
    async fn stat(&self, path: &str) -> Result<Stat>;

    /// Reads the lines `from` to `to` (from 1, both included; to the end when absent): as many
    /// whole ones as fit into `limit` bytes.
    ///
    /// # Errors
    /// [`crate::WorkplaceError`].
    async fn read_lines(
        &self,
        path: &str,
        from: u64,
        to: Option<u64>,
        limit: u64,
    ) -> Result<Lines> {
        self.download(path, 0).await?.lines(lines::Range { from, to, limit }).await
    }

    /// Writes a file whole or not at all, unless `rewrite` allows another way. Keeps mode, access
    /// control list, extended attributes and, where permitted, the owner of a file that is there,
    /// and never gives it a right that it had not; follows a link to its target; missing folders
    /// are made.
    ///
    /// # Errors
    /// [`crate::WorkplaceError`], also for a file of which something of that cannot be kept.
    async fn write(&self, path: &str, content: Bytes, rewrite: Rewrite) -> Result<Written>;

    /// Reads a file of at most `limit_bytes`, changes its content and writes it as [`Backend::write`]
    /// does, unless `change` refuses or the file was changed meanwhile.
    ///
    /// # Errors
    /// [`crate::WorkplaceError`].
    async fn edit(
        &self,
        path: &str,
        limit_bytes: u64,
        change: Change,
        rewrite: Rewrite,
    ) -> Result<Written>;

    /// Entries of a folder, sorted by path, down to `depth` levels (1: the folder itself), at most
    /// `limit`; also returns whether there were more. Links are not followed.
    ///
    /// # Errors
    /// [`crate::WorkplaceError`].
    async fn list(&self, path: &str, depth: u32, limit: u32) -> Result<(Vec<Entry>, bool)>;

    /// Lines that match a regular expression (Rust syntax) in the file `path`, or in the files
    /// below it whose path matches `glob`. Honours `.gitignore`; `.git`, binary files and links are
    /// passed over.
    ///
    /// # Errors
    /// [`crate::WorkplaceError`], with the expression's error when it is invalid.
    async fn search(
        &self,
        pattern: &str,
        path: &str,
        glob: Option<&str>,
        limit: u32,
    ) -> Result<Found>;

    /// Makes a folder and those above it; one that is there is no error.
    ///
    /// # Errors
    /// [`crate::WorkplaceError`].
    async fn make_folder(&self, path: &str) -> Result<()>;

    /// Removes a file, a link or a folder.
    ///
    /// # Errors
    /// [`crate::WorkplaceError`].
    async fn remove(&self, path: &str, removal: Removal) -> Result<()>;

    /// Renames a file or folder, replacing a file that is there.
    ///
    /// # Errors
    /// [`crate::WorkplaceError`].
    async fn rename(&self, from: &str, to: &str) -> Result<()>;

    /// Opens a file for reading from byte `from` on, in constant memory.
    ///
    /// # Errors
    /// [`crate::WorkplaceError`].
    async fn download(&self, path: &str, from: u64) -> Result<Download>;

    /// Opens the unfinished copy `.NAME.ID.part` beside `path`, made with its folders if it is
    /// missing. `id` has no characters but letters, digits and `-`.
    ///
    /// # Errors
    /// [`crate::WorkplaceError`].
    async fn upload(&self, path: &str, id: &str) -> Result<Box<dyn Upload>>;

    /// See [`crate::batch::read`]; [`None`] where a file alone costs as little, too.
    ///
    /// # Errors
    /// [`crate::WorkplaceError`].
    async fn read_batch(&self, _folder: &str, _paths: &[String]) -> Result<Option<Vec<SmallFile>>> {
        Ok(None)
    }

    /// See [`crate::batch::write`]; [`None`] where a file alone costs as little, too.
    ///
    /// # Errors
    /// [`crate::WorkplaceError`].
    async fn write_batch(
        &self,
        _folder: &str,
        _files: &[SmallFile],
    ) -> Result<Option<HashMap<String, String>>> {
        Ok(None)
    }

    /// SHA-256 of a file in 64 hexadecimal digits, computed where the file is if that can be done.
    ///
    /// # Errors
    /// [`crate::WorkplaceError`].
    async fn sha256(&self, path: &str) -> Result<String>;
}

/// Commands of one machine: started at most once, followed from anywhere, and outliving who started
/// them.
#[async_trait]
pub trait Commands: std::fmt::Debug + Send + Sync {
    /// Leaves a trace of a command that is about to be started, before anybody else is told of it:
    /// who finds that and nothing more knows that the command never began. Where a kind keeps none,
    /// that stays unknown.
    ///
    /// # Errors
    /// [`crate::WorkplaceError`].
    async fn reserve(&self, _command_id: &str) -> Result<()> {
        Ok(())
    }

    /// Starts a command and follows it: see [`Commands::attach`]. It runs at most once, whatever
    /// breaks and however often this is called with the same command id.
    ///
    /// Its environment: what the kind gives to every command, and `EVONIC_CALL`, the command id.
    /// It leads a session. The limits of time and output hold also while it is not followed.
    ///
    /// # Errors
    /// [`crate::WorkplaceError`] when it was certainly not started. When that cannot be known, the result
    /// is [`Ended::Unknown`].
    async fn run(
        &self,
        spec: CommandSpec,
        output: mpsc::Sender<Bytes>,
        cancel: &CancellationToken,
    ) -> Result<Finished>;

    /// Follows a command that was started earlier, from byte `from` of its output on, until it ended
    /// and all of its output was sent. `output` is bounded: a slow reader slows nothing but itself.
    /// A broken connection is opened again, and the output continues where it was.
    ///
    /// When `cancel` fires, the command is killed with everything it started. When the future is
    /// dropped, it keeps running. Cancel safe in that sense.
    ///
    /// # Errors
    /// [`crate::WorkplaceError`] when its machine stays out of reach, or refuses for good. The command may
    /// run on: it can be followed again.
    async fn attach(
        &self,
        command_id: &str,
        from: u64,
        output: mpsc::Sender<Bytes>,
        cancel: &CancellationToken,
    ) -> Result<Finished>;

    /// At most `limit` bytes of a command's output from byte `from` on.
    ///
    /// # Errors
    /// [`crate::WorkplaceError`].
    async fn output(&self, command_id: &str, from: u64, limit: u64) -> Result<Bytes>;

    /// Kills a command with everything it started. Returns how many processes there were.
    ///
    /// # Errors
    /// [`crate::WorkplaceError`].
    async fn kill(&self, command_id: &str) -> Result<u32>;

    /// A command's result is safe elsewhere: its record is removed in the background.
    fn forget(&self, command_id: &str);
}

/// An unfinished copy. Dropping it closes it; what was written stays, for the next attempt.
#[async_trait]
pub trait Upload: Send {
    /// Bytes that are safely in it.
    fn safe_bytes(&self) -> u64;

    /// Adds bytes at its end. They may still be under way when this returns.
    ///
    /// # Errors
    /// [`crate::WorkplaceError`].
    async fn write(&mut self, bytes: Bytes) -> Result<()>;

    /// Waits until all of it is written, and returns its SHA-256 in 64 hexadecimal digits, read
    /// back from where it is.
    ///
    /// # Errors
    /// [`crate::WorkplaceError`].
    async fn sha256(&mut self) -> Result<String>;

    /// Renames it to its path, with this mode (when absent, the mode of a file that is there),
    /// whole or not at all. What else a file that is there has is kept as by [`Backend::write`];
    /// of its access control list, the mask gets no right that it had not.
    ///
    /// # Errors
    /// [`crate::WorkplaceError`]. After a permanent one nothing of it is left.
    async fn finish(self: Box<Self>, mode: Option<u32>) -> Result<Written>;

    /// Removes it.
    ///
    /// # Errors
    /// [`crate::WorkplaceError`].
    async fn discard(self: Box<Self>) -> Result<()>;
}

/// A file that is being read.
pub struct Download {
    pub stat: Stat,
    /// Its bytes, in pieces of at most 1 MiB. Dropping it closes the file.
    pub bytes: BoxStream<'static, Result<Bytes>>,
}

impl Download {
    /// The lines of a range: see [`Backend::read_lines`].
    ///
    /// # Errors
    /// [`crate::WorkplaceError`].
    pub async fn lines(mut self, range: lines::Range) -> Result<Lines> {
        let mut reading = lines::Reading::begin(range, self.stat.size_bytes);
        while let Some(piece) = self.bytes.next().await {
            if reading.push(&piece?).is_break() {
                return Ok(reading.broken_off());
            }
        }
        Ok(reading.end())
    }

    /// The SHA-256 of its bytes, in 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`crate::WorkplaceError`].
    pub async fn sha256(mut self) -> Result<String> {
        let mut hash = Sha256::new();
        while let Some(piece) = self.bytes.next().await {
            hash.update(piece?);
        }
        Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// Makes new content of old; [`None`] refuses.
pub type Change = Box<dyn FnOnce(&[u8]) -> Option<Vec<u8>> + Send>;

/// A command to run.
#[derive(Clone, Debug)]
pub struct CommandSpec {
    /// Program and arguments: `["bash", "-c", "..."]`. A program without a slash is looked for
    /// in `PATH`.
    pub argv: Vec<String>,
    /// Standard input, which then ends.
    pub stdin: Bytes,
    /// Folder, relative to the workplace's; that one itself when empty.
    pub folder: String,
    /// The command is killed when it has run this long.
    pub timeout: Duration,
    /// The value of `EVONIC_CALL` in its environment: letters, digits, `_` and `-`. Unique for
    /// ever.
    pub command_id: String,
}

/// How a command ended, and what it left behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    pub ended: Ended,
    /// Processes of it that still ran when it ended, and were killed.
    pub left_behind: u32,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this exit code.
    Exited(i32),
    /// By this signal's number.
    Signalled(i32),
    /// It could not be started: why.
    NotStarted(String),
    /// It ran out of time and was killed, with everything it had started.
    TimedOut,
    /// It wrote more than it may and was killed, with everything it had started.
    TooMuchOutput,
    /// Its output could not be stored on its machine, for this reason; what it wrote after that is
    /// lost, and it may have failed by that.
    Unstored(String),
    /// It was cancelled and killed, with everything it had started.
    Cancelled,
    /// It cannot be known.
    Unknown(Unknown),
}

/// Why it cannot be known how a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// There is no record of it: it never began, or the record was removed.
    NoRecord,
    /// Its machine rebooted, or its container stopped, while it ran.
    Restarted,
    /// The shell that watched over it was killed.
    WatcherKilled,
    /// Its machine stays out of reach: whether it was started is unknown, and it may run on.
    OutOfReach,
}

/// What is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// A file, a link, or an empty folder.
    One,
    /// Whatever it is, with everything below it.
    All,
}

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Stat {
    pub file_type: FileType,
    /// Size in bytes of a regular file; 0 else.
    pub size_bytes: u64,
    /// Permission bits: `0o644`.
    pub mode: u32,
    /// Last change of its content, in seconds since 1970.
    pub modified: u64,
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

impl FileType {
    /// By the type (`S_IFMT`) in a mode.
    #[must_use]
    pub const fn from_mode(mode: u32) -> Self {
        match mode & 0o170_000 {
            0o100_000 => Self::File,
            0o040_000 => Self::Folder,
            0o120_000 => Self::Link,
            _ => Self::Other,
        }
    }
}

/// An entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Entry {
    /// Path, relative to the folder that was listed.
    pub path: String,
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
    /// `.gitignore` files of which some rules were not followed: there are too many, or the file is
    /// too long.
    pub ignores_cut: u32,
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
