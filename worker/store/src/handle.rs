//! The only opener of the database's file.
//!
//! Every handle is opened with the same flags, so that each can take over the descriptor that
//! another one parked (see [`super::account`]). Nothing else in the process may open the file, its
//! log or its shared memory: closing such a descriptor would drop SQLite's locks.

use std::{
    ops::Deref,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    time::Duration,
};

use evonic_shared::kind::Kind;
use parking_lot::Mutex;
use rusqlite::{Connection, OpenFlags, ffi};

use crate::{StoreError, account::FdCounts, error::During, job::Job, schema};
use evonic_handles::{Budget, Held, Permit};

/// Read and write, each connection used by one thread at a time.
const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// The first statements of every handle. SQLite spills big sorts and statement journals to temporary
/// files otherwise: descriptors that nothing accounts for.
const EVERY: &str = "PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL;
                     PRAGMA temp_store = MEMORY;";

/// Those of a reader's handle beside: it cannot write, and sees one state of the database
/// from its first statement to its end.
const READER: &str = "PRAGMA query_only = ON; BEGIN;";

/// The writer's statements, prepared once each.
const STATEMENTS: usize = 128;

/// The log's size from which the writer makes SQLite start it anew.
const LOG_BYTES: u64 = 16 << 20;

/// How long the writer waits for the readers of an old log, each time.
const LOG_TIMEOUT: Duration = Duration::from_millis(100);

/// Opens handles of one database.
#[derive(Debug)]
pub(super) struct DbOpener {
    path: PathBuf,
    busy_timeout: Duration,
    budget: Budget,
    account: Mutex<FdCounts>,
    /// Where the writer is asked to release parked descriptors.
    writer: mpsc::Sender<Job>,
}

impl DbOpener {
    /// An opener; nothing is open yet.
    ///
    /// # Errors
    /// [`StoreError::Exhausted`] when no permit is left for the writer's handle.
    pub(super) fn new(
        path: &Path,
        busy_timeout: Duration,
        budget: Budget,
        writer: mpsc::Sender<Job>,
    ) -> Result<Arc<Self>, StoreError> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let account = FdCounts::new(budget.try_acquire(Kind::Sqlite)?);
        Ok(Arc::new(Self { path, busy_timeout, budget, account, writer }))
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
        self.configure(&reader, READER)?;
        Ok(reader)
    }

    fn open_held(
        &self,
        counts: &mut FdCounts,
        mut permit: Permit,
    ) -> Result<Held<Connection>, StoreError> {
        if !counts.writer {
            let refused = ffi::Error::new(ffi::SQLITE_CANTOPEN);
            let why = "the writer's handle is not open".to_owned();
            return Err(self.cannot(rusqlite::Error::SqliteFailure(refused, Some(why))));
        }
        let connection = self.connect(FLAGS)?;
        counts.reader_opened(&mut permit);
        Ok(Held::new(connection, permit))
    }

    /// Parks one descriptor, for the next reader to take over.
    fn keep_one(&self, counts: &mut FdCounts) -> Result<(), StoreError> {
        // Without a free permit a reader is about to open one anyway.
        if let Ok(permit) = self.budget.try_acquire(Kind::Sqlite) {
            let mut spare = self.open_held(counts, permit)?;
            counts.reader_closing(spare.permit_mut());
            drop(spare);
        }
        Ok(())
    }

    #[expect(clippy::disallowed_methods, reason = "the opener of kind sqlite")]
    fn connect(&self, flags: OpenFlags) -> Result<Connection, StoreError> {
        Connection::open_with_flags(&self.path, flags).map_err(|source| self.cannot(source))
    }

    fn configure(&self, connection: &Connection, more: &str) -> Result<(), StoreError> {
        connection
            .busy_timeout(self.busy_timeout)
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

/// The writer's handle. Its permit is the account's, with what else the process owns.
#[derive(Debug)]
pub(super) struct WriterHandle {
    /// None after a reopening that failed; tried again at the next use.
    connection: Option<Connection>,
    opener: Arc<DbOpener>,
    /// The log's size from which it is trimmed.
    trim_at: u64,
}

impl WriterHandle {
    /// Opens the database, makes it if missing, and brings its schema up to date.
    pub(super) fn open(opener: Arc<DbOpener>) -> Result<Self, StoreError> {
        let mut writer = Self { connection: None, opener: Arc::clone(&opener), trim_at: LOG_BYTES };
        let mut counts = opener.account.lock();
        writer.connect(&mut counts, FLAGS | OpenFlags::SQLITE_OPEN_CREATE, |connection| {
            schema::bring_up_to_date(connection, &opener.path)
        })?;
        drop(counts);
        Ok(writer)
    }

    /// The connection. Opens it again where the last reopening failed.
    pub(super) fn connection(&mut self) -> Result<&mut Connection, StoreError> {
        if self.connection.is_none() {
            let opener = Arc::clone(&self.opener);
            self.connect(&mut opener.account.lock(), FLAGS, |_| Ok(()))?;
        }
        Ok(self.connection.as_mut().expect("it was opened just now"))
    }

    /// Closes and reopens the handle, which closes every parked descriptor, unless another handle is
    /// open or lately was. Returns whether it did.
    pub(super) fn release_parked(&mut self, quiet: Duration) -> Result<bool, StoreError> {
        let opener = Arc::clone(&self.opener);
        let mut counts = opener.account.lock();
        if !counts.is_quiet(quiet) {
            return Ok(false);
        }
        self.close(&mut counts);
        counts.releasing = false;
        self.connect(&mut counts, FLAGS, |_| Ok(()))?;
        Ok(true)
    }

    /// Empties the log once it is large. SQLite itself does so only in a moment without a reader
    /// from the log, and readers that always overlap leave none. This checkpoint lets those that
    /// come read from the database, and waits for those that are there. In vain behind one that
    /// stays: then it is tried again when the log has grown by as much once more.
    pub(super) fn trim_log(&mut self) -> Result<(), StoreError> {
        let trim_at = self.trim_at;
        let busy_timeout = self.opener.busy_timeout;
        let connection = self.connection()?;
        let log = connection.path().map(|path| format!("{path}-wal"));
        let size = log.and_then(|log| std::fs::metadata(log).ok()).map_or(0, |log| log.len());
        if size < trim_at {
            return Ok(());
        }
        let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
        connection.busy_timeout(LOG_TIMEOUT).during("trim log")?;
        let busy = connection.query_row(sql, [], |row| row.get::<_, bool>(0));
        connection.busy_timeout(busy_timeout).during("trim log")?;
        self.trim_at = size + LOG_BYTES;
        if !busy.during("trim log")? {
            self.trim_at = LOG_BYTES;
        }
        Ok(())
    }

    fn connect(
        &mut self,
        counts: &mut FdCounts,
        flags: OpenFlags,
        prepare: impl FnOnce(&mut Connection) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.connection = Some(self.opener.connect(flags)?);
        counts.writer_opened();
        let connection = self.connection.as_mut().expect("it was opened just now");
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        let ready = self.opener.configure(connection, "").and_then(|()| prepare(connection));
        let ready = ready.and_then(|()| self.opener.keep_one(counts));
        if ready.is_err() {
            self.close(counts);
        }
        ready
    }

    fn close(&mut self, counts: &mut FdCounts) {
        if self.connection.take().is_some() {
            counts.writer_closed();
        }
    }
}

impl Drop for WriterHandle {
    fn drop(&mut self) {
        let opener = Arc::clone(&self.opener);
        let mut counts = opener.account.lock();
        self.close(&mut counts);
        // Given back, although clones of the store may be left.
        counts.permit = None;
    }
}
