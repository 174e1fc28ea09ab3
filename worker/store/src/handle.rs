//! The only opener of the database's file.
//!
//! Every handle is opened with the same flags, so that each can take over the descriptor that
//! another one parked (see [`super::account`]). Nothing else in the process may open the file, its
//! log or its shared memory: closing such a descriptor would drop SQLite's locks.

use std::{
    ops::Deref,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use evonic_shared::{kind::Kind, store_report::StoreState};
use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags, ffi};

use crate::{
    Condition, StoreError,
    account::FdCounts,
    files::{DbFiles, Moved},
    job::Job,
    space::Room,
    storage::Storage,
};
use evonic_handles::{Budget, Held, Permit};

/// Read and write, each connection used by one thread at a time.
pub(super) const FLAGS: OpenFlags =
    OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// The first statements of every handle. SQLite spills big sorts and statement journals to temporary
/// files otherwise: descriptors that nothing accounts for.
const EVERY: &str = "PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL;
                     PRAGMA temp_store = MEMORY;";

/// Those of a reader's handle beside: it cannot write, and sees one state of the database
/// from its first statement to its end.
const READER: &str = "PRAGMA query_only = ON; BEGIN;";

/// Opens handles of one database.
#[derive(Debug)]
pub(super) struct DbOpener {
    pub(super) path: PathBuf,
    pub(super) busy_timeout: Duration,
    pub(super) condition: Condition,
    pub(super) room: Room,
    pub(super) storage: Storage,
    budget: Budget,
    pub(super) account: Mutex<FdCounts>,
    /// The files of the writer's handle, while it is open.
    pub(super) files: Mutex<Option<DbFiles>>,
    /// Whether the writer's handle has the database for itself.
    pub(super) alone: AtomicBool,
    /// Whether pages were given back which the file has until the log is brought into it.
    pub(super) shrinks: AtomicBool,
    /// Where the writer is asked to release parked descriptors, and to read what no other handle
    /// can.
    pub(super) writer: mpsc::Sender<Job>,
}

impl DbOpener {
    /// An opener; nothing is open yet.
    ///
    /// # Errors
    /// [`StoreError::Exhausted`] when no permit is left for the writer's handle.
    pub(super) fn new(
        path: &Path,
        busy_timeout: Duration,
        memory: Option<PathBuf>,
        budget: Budget,
        writer: mpsc::Sender<Job>,
    ) -> Result<Arc<Self>, StoreError> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let account = FdCounts::new(budget.try_acquire(Kind::Sqlite)?);
        let condition = Condition::new(&path, memory);
        let (files, alone) = (Mutex::default(), AtomicBool::default());
        let (room, storage) = (Room::new(&path), Storage::default());
        Ok(Arc::new(Self {
            path,
            busy_timeout,
            condition,
            room,
            storage,
            budget,
            account,
            files,
            alone,
            shrinks: AtomicBool::default(),
            writer,
        }))
    }

    /// Whether the writer's handle alone reaches what it opened: it has the database for itself, or
    /// its files have lost their names, and another handle would have other ones.
    pub(super) fn reads_by_writer(&self) -> bool {
        if self.alone.load(Ordering::SeqCst) {
            return true;
        }
        let moved = self.files.lock().as_ref().and_then(|files| files.check().err());
        moved.is_some_and(|moved| {
            self.say(&moved);
            true
        })
    }

    /// The error of files that are not where they were.
    pub(super) fn say(&self, moved: &Moved) -> StoreError {
        let (state, detail) = match moved {
            Moved::Gone(path) => (StoreState::Lost, format!("{} is gone", path.display())),
            Moved::Other(path) => (
                StoreState::Replaced,
                format!("{} is another file than the one that is in use", path.display()),
            ),
            Moved::Cut => (
                StoreState::Corrupt,
                format!("database {} is damaged: its file was cut short", self.path.display()),
            ),
            Moved::Unseen(path, error) => {
                (StoreState::Failing, format!("{} cannot be looked at: {error}", path.display()))
            }
        };
        self.condition.fail(state, detail)
    }

    /// Returns when no handle is being opened or closed.
    pub(super) fn pass(&self) {
        drop(self.account.lock());
    }

    /// Opens a handle to read with, under a permit that is given back with it.
    pub(super) fn open_reader(
        self: &Arc<Self>,
        permit: Permit,
    ) -> Result<ReaderHandle, StoreError> {
        let held = self.open_held(&mut self.account.lock(), permit)?;
        let reader = ReaderHandle { held: Some(held), opener: Arc::clone(self) };
        self.configure(&reader, self.busy_timeout, READER)?;
        Ok(reader)
    }

    fn open_held(
        &self,
        counts: &mut FdCounts,
        mut permit: Permit,
    ) -> Result<Held<Connection>, StoreError> {
        if !counts.writer {
            return Err(self.closed());
        }
        let connection = self.connect(FLAGS)?;
        counts.reader_opened(&mut permit);
        Ok(Held::new(connection, permit))
    }

    /// Why nothing can be read or written while the writer's handle is not open.
    pub(super) fn closed(&self) -> StoreError {
        match self.condition.report() {
            None => {
                let refused = ffi::Error::new(ffi::SQLITE_CANTOPEN);
                let why = "the writer's handle is not open".to_owned();
                self.cannot(rusqlite::Error::SqliteFailure(refused, Some(why)))
            }
            Some(report) if report.state == StoreState::Locked => StoreError::Locked,
            Some(report) if report.state == StoreState::DiskFull => StoreError::Full,
            Some(report) => StoreError::Unusable(Box::new(report)),
        }
    }

    /// Parks one descriptor, for the next reader to take over.
    pub(super) fn keep_one(&self, counts: &mut FdCounts) -> Result<(), StoreError> {
        // Without a free permit a reader is about to open one anyway.
        if let Ok(permit) = self.budget.try_acquire(Kind::Sqlite) {
            let mut spare = self.open_held(counts, permit)?;
            counts.reader_closing(spare.permit_mut());
            drop(spare);
        }
        Ok(())
    }

    #[expect(clippy::disallowed_methods, reason = "the opener of kind sqlite")]
    pub(super) fn connect(&self, flags: OpenFlags) -> Result<Connection, StoreError> {
        Connection::open_with_flags(&self.path, flags).map_err(|source| self.cannot(source))
    }

    pub(super) fn configure(
        &self,
        connection: &Connection,
        busy_timeout: Duration,
        more: &str,
    ) -> Result<(), StoreError> {
        connection
            .busy_timeout(busy_timeout)
            .and_then(|()| connection.execute_batch(EVERY))
            .and_then(|()| connection.execute_batch(more))
            .map_err(|source| self.cannot(source))
    }

    fn cannot(&self, source: rusqlite::Error) -> StoreError {
        match StoreError::from_sqlite("open", source) {
            StoreError::Sql { source, .. } => StoreError::Open { path: self.path.clone(), source },
            sorted => sorted,
        }
    }
}

/// A reader's handle, in a read transaction that ends with it.
#[derive(Debug)]
pub(super) struct ReaderHandle {
    /// None only while it is dropped.
    held: Option<Held<Connection>>,
    opener: Arc<DbOpener>,
}

impl Deref for ReaderHandle {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.held.as_ref().expect("a reader's handle is open until it is dropped")
    }
}

impl Drop for ReaderHandle {
    fn drop(&mut self) {
        let mut counts = self.opener.account.lock();
        if let Some(mut held) = self.held.take() {
            counts.reader_closing(held.permit_mut());
        }
        if counts.wants_release() {
            // Fails only when the writer has ended, and its handle with it.
            let _ = self.opener.writer.send(Job::ReleaseParked);
        }
    }
}
