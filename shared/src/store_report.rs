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
