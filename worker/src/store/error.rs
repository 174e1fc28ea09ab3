//! What can go wrong with the store.

use std::path::PathBuf;

use crate::handles::Exhausted;

/// An error of the store. Descriptor exhaustion and fencing are variants of their own.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No handle came free in time.
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
    /// The database cannot be opened.
    #[error("database {} cannot be opened", path.display())]
    Open {
        /// Its path.
        path: PathBuf,
        /// SQLite's word.
        #[source]
        source: rusqlite::Error,
    },
    /// The database was written by a later version.
    #[error("database {} has schema version {found}, this program knows {known}", path.display())]
    Newer {
        /// Its path.
        path: PathBuf,
        /// Its schema version.
        found: u32,
        /// The latest version that this program knows.
        known: u32,
    },
    /// A statement failed.
    #[error("{operation} failed")]
    Sql {
        /// What was done: `claim turn`.
        operation: &'static str,
        /// SQLite's word.
        #[source]
        source: rusqlite::Error,
    },
    /// The disk is full: nothing was written, and it may work again later.
    #[error("no space left for the database")]
    Full,
    /// There is no such thing.
    #[error("no {what} {id}")]
    NotFound {
        /// `agent`, `session`, `turn`.
        what: &'static str,
        /// What was asked for.
        id: String,
    },
    /// The change contradicts what is there.
    #[error("{message}")]
    Conflict {
        /// A stable word: `name_taken`, `session_busy`, `agent_in_use`, `queue_full`,
        /// `key_reused`.
        code: &'static str,
        /// A sentence for a person.
        message: String,
    },
    /// Another worker owns the turn: the writer must let go of it.
    #[error("turn is owned by another worker")]
    Fenced,
    /// The store is closing.
    #[error("store is closing")]
    Closed,
}
