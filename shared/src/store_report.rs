//! What is wrong with the worker's database, where something is.

use serde::{Deserialize, Serialize};

use crate::named::named;

named! {
    /// What state a database that is not well is in.
    StoreState {
        /// Another process holds its lock. Reads go on, and writes do once it lets go.
        Locked = "locked",
        /// No space is left on its file system. Writes go on by themselves once there is.
        DiskFull = "disk_full",
        /// It may be read and not written.
        ReadOnly = "read_only",
        /// The disk fails to write it.
        Failing = "failing",
        /// Its file is gone, or empty, and was there before.
        Lost = "lost",
        /// Another file is at its place.
        Replaced = "replaced",
        /// What is in its file is not what was written.
        Corrupt = "corrupt",
    }
}

impl StoreState {
    /// Whether only an operator ends it: by a start with another file, or, of one that is gone, by
    /// putting the same file back.
    #[must_use]
    pub const fn needs_operator(self) -> bool {
        matches!(self, Self::Lost | Self::Replaced | Self::Corrupt)
    }
}

/// What is wrong with the database, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreReport {
    /// What state it is in.
    pub state: StoreState,
    /// A sentence that names the file.
    pub detail: String,
    /// What an operator does about it.
    pub advice: String,
    /// Since when: RFC 3339, UTC, milliseconds.
    pub since: String,
}

/// How large the database is, and how much room its disk has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageReport {
    /// The database's file, bytes.
    pub database_bytes: u64,
    /// What of it holds nothing: it is used again, or given back to the file system.
    pub free_bytes: u64,
    /// The file of its log, bytes.
    pub log_bytes: u64,
    /// What is free on its file system; null where that does not say.
    pub disk_free_bytes: Option<u64>,
    /// `retention.min_free`.
    pub min_free_bytes: u64,
    /// Whether less than that is free: new messages and sessions are refused, and queued turns wait.
    pub is_low: bool,
    /// Whether a file that holds little can be made smaller while the service runs.
    pub shrinks: bool,
    /// Sessions, when they were counted last; null before the first time.
    pub sessions: Option<u64>,
    /// Events of all sessions, when they were counted last.
    pub events: Option<u64>,
    /// When that was: RFC 3339, UTC, milliseconds.
    pub counted_at: Option<String>,
}
