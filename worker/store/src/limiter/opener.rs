//! The only opener of `limits.db`.
//!
//! A *keeper* stays open, so that opening and closing a request's handle neither recovers nor
//! removes the write-ahead log. What both hold is in an account ([`FdCounts`]), as with the other database:
//! the keeper stands where the writer stands there.

use std::{
    ops::Deref,
    path::{Path, PathBuf},
    time::Duration,
};

use evonic_shared::kind::Kind;
use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension};

use super::levels::{CHARGED_AT, SCHEMA};
use crate::{StoreError, account::FdCounts, files::DbFiles};
use evonic_handles::{Budget, Permit};

/// Read and write, each connection used by one thread at a time.
const FLAGS: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// The first statements of every handle. Nothing is synced: what is lost with the machine's power is a
/// count. No temporary file is ever made: a descriptor that nothing accounts for.
const EVERY: &str = "PRAGMA synchronous = OFF; PRAGMA temp_store = MEMORY;";

/// How long a handle waits for the other worker's.
const BUSY: Duration = Duration::from_millis(250);

/// Opens handles of the file. Its two permits are its own for as long as it stands.
#[derive(Debug)]
pub(super) struct LimitDbOpener {
    path: PathBuf,
    account: Mutex<FdCounts>,
    /// None before it could be opened, and after a failure.
    keeper: Option<Connection>,
    /// Those that the keeper has open.
    files: Option<DbFiles>,
    /// That of the one handle that a request has.
    permit: Permit,
}

impl LimitDbOpener {
    /// An opener; nothing is open yet.
    ///
    /// # Errors
    /// [`StoreError::Exhausted`] when its permits are not to be had.
    pub(super) fn new(path: &Path, budget: &Budget) -> Result<Self, StoreError> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let account = FdCounts::new(budget.try_acquire(Kind::Sqlite)?);
        let permit = budget.try_acquire(Kind::Sqlite)?;
        Ok(Self { path, account, keeper: None, files: None, permit })
    }

    /// Opens the keeper where it is not open. A file that is broken, or no database, is made anew.
    pub(super) fn open(&mut self) -> Result<(), StoreError> {
        if self.keeper.is_some() {
            let Some(Err(_)) = self.files.as_ref().map(DbFiles::check) else { return Ok(()) };
            // A handle would have another file than the keeper, and the log of the one before.
            let path = self.path.display();
            tracing::warn!(%path, "counts of requests are gone, or others: they begin anew");
            self.close_keeper();
        }
        match self.open_keeper() {
            Err(error) if is_broken(&error) => {
                self.remove(&error);
                self.open_keeper()
            }
            opened => opened,
        }
    }

    /// Runs `f` on a handle that is opened for it and closed before this returns. After an error
    /// other than a lock or a full disk the keeper is opened anew the next time; a broken file is
    /// made anew then.
    pub(super) fn with_handle<T>(
        &mut self,
        f: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.open()?;
        let done = self.handle().and_then(|handle| f(&handle));
        match &done {
            Ok(_) | Err(StoreError::Locked | StoreError::Full) => {}
            Err(error) => {
                self.close_keeper();
                if is_broken(error) {
                    self.remove(error);
                }
            }
        }
        done
    }

    fn open_keeper(&mut self) -> Result<(), StoreError> {
        let connection = self.connect(FLAGS | OpenFlags::SQLITE_OPEN_CREATE)?;
        self.account.lock().writer_opened();
        self.keeper = Some(connection);
        // One descriptor is parked from the start, for the first request to take over.
        let ready = self.prepare().and_then(|()| self.handle().map(drop));
        self.files = DbFiles::opened(&self.path).ok();
        if ready.is_err() {
            self.close_keeper();
        }
        ready
    }

    fn prepare(&self) -> Result<(), StoreError> {
        let keeper = self.keeper.as_ref().expect("it was opened just now");
        let failed = |source| StoreError::open(&self.path, source);
        configure(keeper).map_err(failed)?;
        let mode: String = keeper
            .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
            .map_err(failed)?;
        if mode != "wal" {
            return Err(StoreError::NoWal { path: self.path.clone(), mode });
        }
        keeper.execute_batch(SCHEMA).map_err(failed)?;
        let column = "SELECT 1 FROM pragma_table_info('levels') WHERE name = 'charged_at'";
        match keeper.query_row(column, [], |_| Ok(())).optional().map_err(failed)? {
            Some(()) => Ok(()),
            None => keeper.execute_batch(CHARGED_AT).map_err(failed),
        }
    }

    fn close_keeper(&mut self) {
        let mut counts = self.account.lock();
        if self.keeper.take().is_some() {
            counts.writer_closed();
        }
    }

    /// A handle for one request.
    fn handle(&mut self) -> Result<Handle<'_>, StoreError> {
        let mut counts = self.account.lock();
        let connection = self.connect(FLAGS)?;
        counts.reader_opened(&mut self.permit);
        drop(counts);
        let handle = Handle {
            connection: Some(connection),
            permit: &mut self.permit,
            account: &self.account,
        };
        configure(&handle).map_err(|source| StoreError::open(&self.path, source))?;
        Ok(handle)
    }

    #[expect(clippy::disallowed_methods, reason = "the opener of kind sqlite")]
    fn connect(&self, flags: OpenFlags) -> Result<Connection, StoreError> {
        Connection::open_with_flags(&self.path, flags)
            .map_err(|source| StoreError::open(&self.path, source))
    }

    /// Removes a broken file, with its log and its shared memory. What cannot be removed is reported
    /// when it is opened the next time.
    fn remove(&self, error: &StoreError) {
        let path = self.path.display();
        tracing::warn!(%path, %error, "counts of requests are broken: they begin anew");
        for end in ["", "-wal", "-shm"] {
            let mut file = self.path.clone().into_os_string();
            file.push(end);
            // The last two are seldom there.
            let _ = std::fs::remove_file(file);
        }
    }
}

impl Drop for LimitDbOpener {
    fn drop(&mut self) {
        self.close_keeper();
        self.account.lock().permit = None;
    }
}

/// The handle of one request.
pub(super) struct Handle<'a> {
    /// None only while it is dropped.
    connection: Option<Connection>,
    permit: &'a mut Permit,
    account: &'a Mutex<FdCounts>,
}

impl Deref for Handle<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("a request's handle is open until it is dropped")
    }
}

impl Drop for Handle<'_> {
    fn drop(&mut self) {
        let mut counts = self.account.lock();
        counts.reader_closing(self.permit);
        self.connection = None;
        self.permit.owns(0, None);
    }
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY).and_then(|()| connection.execute_batch(EVERY))
}

/// Whether the file is no database, or one that is damaged.
fn is_broken(error: &StoreError) -> bool {
    let (StoreError::Sql { source, .. } | StoreError::Open { source, .. }) = error else {
        return false;
    };
    matches!(source.code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}
