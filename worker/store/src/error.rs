//! What can go wrong with the store.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use evonic_shared::{
    named,
    store_report::{StoreReport, StoreState},
};
use rusqlite::{ErrorCode, ffi};

use evonic_handles::Exhausted;

/// What the database engine says of a failure.
#[derive(Clone, Debug, thiserror::Error)]
#[error(transparent)]
pub struct DatabaseError(Arc<dyn std::error::Error + Send + Sync>);

impl DatabaseError {
    /// A failure in the engine's own form.
    pub fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(Arc::from(source.into()))
    }

    /// Whether the disk is full.
    pub fn is_full(&self) -> bool {
        self.code() == Some(ErrorCode::DiskFull)
    }

    /// SQLite's primary code, where the failure has one.
    pub(super) fn code(&self) -> Option<ErrorCode> {
        self.0.downcast_ref::<rusqlite::Error>()?.sqlite_error_code()
    }
}

named! {
    /// Why a change contradicts what is there. The names are part of the API's problem types.
    Conflict {
        /// Another thing of this kind has the name.
        NameTaken = "name_taken",
        /// A turn of the session is queued or running.
        SessionBusy = "session_busy",
        /// A turn of the agent is queued or running.
        AgentInUse = "agent_in_use",
        /// As many turns as may wait are waiting.
        QueueFull = "queue_full",
        /// There are as many budgets as there may be.
        TooManyBudgets = "too_many_budgets",
        /// The idempotency key was used for something else.
        KeyReused = "key_reused",
        /// A session would refer to more bytes than it may.
        AttachmentsFull = "attachments_full",
        /// It comes with the program and stays.
        BuiltIn = "built_in",
        /// A workplace keeps its kind.
        KindFixed = "kind_fixed",
        /// An agent names the workplace.
        WorkplaceInUse = "workplace_in_use",
    }
}

/// An error of the store. Descriptor exhaustion and fencing are variants of their own.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No handle came free in time.
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
    /// The writer's queue stayed full for `store.acquire_timeout`.
    #[error("{waiting} writes are waiting for the database")]
    Overloaded {
        /// How many the queue holds.
        waiting: u32,
        /// When to try again: a guess for `Retry-After`.
        retry_after: Duration,
    },
    /// The database cannot be opened.
    #[error("database {} cannot be opened", path.display())]
    Open {
        /// Its path.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: DatabaseError,
    },
    /// The file is a database of another program.
    #[error("database {} belongs to another program", path.display())]
    Alien {
        /// Its path.
        path: PathBuf,
    },
    /// The database was written by a later version.
    #[error(
        "database {} has schema version {found}, this program knows {known}: install the later \
         program again, or put back a copy of the time before it",
        path.display()
    )]
    Newer {
        /// Its path.
        path: PathBuf,
        /// Its schema version.
        found: u32,
        /// The latest version that this program knows.
        known: u32,
    },
    /// A copy of the database cannot be written.
    #[error("copy {} cannot be written", path.display())]
    Copy {
        /// Its path.
        path: PathBuf,
        /// The OS error.
        #[source]
        source: std::io::Error,
    },
    /// The file system does not support write-ahead logging.
    #[error("database {} stays in journal mode {mode} instead of wal", path.display())]
    NoWal {
        /// Its path.
        path: PathBuf,
        /// The mode that SQLite kept.
        mode: String,
    },
    /// A thread of the store cannot be started.
    #[error("thread {name} cannot be started")]
    Thread {
        /// Its name.
        name: String,
        /// The OS error.
        #[source]
        source: std::io::Error,
    },
    /// A statement failed.
    #[error("{operation} failed")]
    Sql {
        /// What was done: `claim turn`.
        operation: &'static str,
        /// What SQLite says.
        #[source]
        source: DatabaseError,
    },
    /// Another process held the database's lock for longer than `store.busy_timeout`: nothing was
    /// written, and it may work again later.
    #[error("database is locked by another process")]
    Locked,
    /// The disk is full: nothing was written, and it may work again later.
    #[error("no space left for the database")]
    Full,
    /// Less is free than `retention.min_free`: nothing new is taken, and it may be again later.
    #[error(
        "{free_bytes} bytes are free in {folder}, fewer than retention.min_free ({min_free_bytes}): \
         nothing new is accepted until there is more room"
    )]
    LowSpace {
        /// The database's folder.
        folder: String,
        /// What is free there.
        free_bytes: u64,
        /// What should be.
        min_free_bytes: u64,
    },
    /// The database cannot be used as it stands: nothing was written.
    #[error("{}", .0.detail)]
    Unusable(Box<StoreReport>),
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
        /// Which contradiction.
        code: Conflict,
        /// A sentence for a person.
        message: String,
    },
    /// Another worker owns the turn: the writer must let go of it.
    #[error("turn is owned by another worker")]
    Fenced,
    /// The closure panicked: what it did is undone.
    #[error("a closure panicked within the store")]
    Panicked,
    /// The store is closing.
    #[error("store is closing")]
    Closed,
}

impl StoreError {
    /// A database that cannot be opened.
    pub(super) fn open(path: &Path, source: rusqlite::Error) -> Self {
        match Self::from_sqlite("open", source) {
            StoreError::Sql { source, .. } => StoreError::Open { path: path.to_owned(), source },
            sorted => sorted,
        }
    }

    /// What the failure says of the database as a whole; none where it is about what was asked.
    #[must_use]
    pub fn state(&self) -> Option<StoreState> {
        match self {
            StoreError::Locked => Some(StoreState::Locked),
            StoreError::Full => Some(StoreState::DiskFull),
            StoreError::Unusable(report) => Some(report.state),
            StoreError::Sql { source, .. } | StoreError::Open { source, .. } => {
                match source.code()? {
                    ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
                        Some(StoreState::Corrupt)
                    }
                    ErrorCode::ReadOnly => Some(StoreState::ReadOnly),
                    ErrorCode::SystemIoFailure => Some(StoreState::Failing),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// The engine's words for it.
    pub(super) fn reason(&self) -> Option<String> {
        match self {
            StoreError::Sql { source, .. } | StoreError::Open { source, .. } => {
                Some(source.to_string())
            }
            _ => None,
        }
    }

    /// A failure of SQLite, sorted: what a caller can act on has a variant of its own.
    pub(super) fn from_sqlite(operation: &'static str, source: rusqlite::Error) -> Self {
        match source.sqlite_error() {
            Some(ffi::Error { code: ErrorCode::DiskFull, .. }) => StoreError::Full,
            // Growing the shared memory's file fails like this, and with nothing else, when no
            // block is left for it.
            Some(ffi::Error { extended_code: ffi::SQLITE_IOERR_SHMSIZE, .. }) => StoreError::Full,
            Some(ffi::Error {
                code:
                    ErrorCode::DatabaseBusy
                    | ErrorCode::DatabaseLocked
                    | ErrorCode::FileLockingProtocolFailed,
                ..
            }) => StoreError::Locked,
            _ => StoreError::Sql { operation, source: DatabaseError::new(source) },
        }
    }

    /// There is no such thing.
    pub fn not_found(what: &'static str, id: impl ToString) -> Self {
        StoreError::NotFound { what, id: id.to_string() }
    }

    pub(super) fn conflict(code: Conflict, message: impl Into<String>) -> Self {
        StoreError::Conflict { code, message: message.into() }
    }

    pub(super) fn key_reused(key: &str) -> Self {
        Self::conflict(Conflict::KeyReused, format!("key {key} was used with other content"))
    }

    /// SQLite rolled the transaction back.
    pub(super) fn lost() -> Self {
        let lost = ffi::Error::new(ffi::SQLITE_ABORT_ROLLBACK);
        StoreError::from_sqlite("transaction", rusqlite::Error::SqliteFailure(lost, None))
    }

    /// The same failure for another job of the transaction that this one brought down.
    pub(super) fn shared(&self) -> Self {
        match self {
            StoreError::Full => StoreError::Full,
            StoreError::Locked => StoreError::Locked,
            StoreError::Closed => StoreError::Closed,
            StoreError::Unusable(report) => StoreError::Unusable(report.clone()),
            StoreError::Sql { operation, source } => {
                StoreError::Sql { operation, source: source.clone() }
            }
            StoreError::Open { path, source } => {
                StoreError::Open { path: path.clone(), source: source.clone() }
            }
            _ => StoreError::lost(),
        }
    }
}

/// Names the operation in which SQLite failed.
pub(super) trait During<T> {
    /// The result, its error sorted.
    fn during(self, operation: &'static str) -> Result<T, StoreError>;
}

impl<T> During<T> for rusqlite::Result<T> {
    fn during(self, operation: &'static str) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::from_sqlite(operation, source))
    }
}
