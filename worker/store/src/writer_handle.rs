//! The writer's handle: opened, looked after, opened anew.

use std::{
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use evonic_shared::store_report::StoreState;
use rusqlite::{Connection, OpenFlags};

use crate::{
    StoreError,
    account::FdCounts,
    error::During,
    files::{self, DbFiles, Moved},
    handle::{DbOpener, FLAGS},
    schema, space,
};

/// The writer's statements, prepared once each.
const STATEMENTS: usize = 128;

/// The log's size from which the writer makes SQLite start it anew.
const LOG_BYTES: u64 = 16 << 20;

/// Brings the whole log into the database, and empties it; says whether somebody was in the way.
const TRUNCATE: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

/// How long the writer waits for the readers of an old log, each time.
const LOG_TIMEOUT: Duration = Duration::from_millis(100);

/// How long one statement of the writer waits for a lock. Between two of them it answers those who
/// do not need the lock.
pub(super) const BRIEF: Duration = Duration::from_millis(50);

/// A database up to this size is checked whole when it is opened: in some milliseconds. What is
/// wrong with a larger one is seen when it is met.
const CHECKED_BYTES: u64 = 8 << 20;

/// The first statement of a handle that has the database for itself: without it SQLite keeps the
/// index of its log in a file that all share.
const ALONE: &str = "PRAGMA locking_mode = EXCLUSIVE;";

/// Between two attempts to open a database that cannot be opened now.
const REOPEN_PAUSE: Duration = Duration::from_millis(500);

/// The writer's handle. Its permit is the account's, with what else the process owns.
#[derive(Debug)]
pub(super) struct WriterHandle {
    /// None after an opening that failed; tried again at a later use.
    connection: Option<Connection>,
    pub(super) opener: Arc<DbOpener>,
    /// Whether there was a database before: then none is made.
    was_there: bool,
    /// When the last opening failed, and why.
    failed: Option<(Instant, StoreError)>,
    /// The log's size from which it is trimmed.
    trim_at: u64,
    /// Whether the log is in the file that lost its name.
    is_settled: bool,
}

impl WriterHandle {
    /// A handle that is not open yet, of a database that was there before or is made.
    pub(super) const fn new(opener: Arc<DbOpener>, was_there: bool) -> Self {
        Self {
            connection: None,
            opener,
            was_there,
            failed: None,
            trim_at: LOG_BYTES,
            is_settled: false,
        }
    }

    /// Opens the database, makes it if there never was one, and brings its schema up to date.
    /// Waits for a lock of another process until then.
    pub(super) fn open(&mut self, deadline: Instant) -> Result<(), StoreError> {
        loop {
            match self.open_once() {
                Err(StoreError::Locked) if Instant::now() < deadline => {
                    std::thread::park_timeout(BRIEF);
                }
                opened => return opened,
            }
        }
    }

    /// Where the disk has no room for the memory that handles share, the database is opened for
    /// this one alone, which needs none: then at least it is read.
    fn open_once(&mut self) -> Result<(), StoreError> {
        match self.open_shared() {
            Err(StoreError::Full) => self.open_alone(),
            opened => opened,
        }
    }

    fn open_alone(&mut self) -> Result<(), StoreError> {
        let opener = Arc::clone(&self.opener);
        let mut counts = opener.account.lock();
        self.connect_with(&mut counts, FLAGS, ALONE, |connection| {
            match schema::check(connection, &opener.path)? {
                schema::KNOWN => Ok(()),
                _ => Err(StoreError::Full),
            }
        })
        // Another worker has it.
        .map_err(|_| StoreError::Full)?;
        opener.alone.store(true, Ordering::SeqCst);
        opener.condition.note(&StoreError::Full);
        Ok(())
    }

    /// Where it is open for this handle alone and there is room again: opens it for all.
    pub(super) fn share(&mut self) -> Result<(), StoreError> {
        let opener = Arc::clone(&self.opener);
        if opener.alone.load(Ordering::SeqCst) && space::is_enough(&opener.path) {
            self.close(&mut opener.account.lock());
            opener.alone.store(false, Ordering::SeqCst);
            self.open_shared()?;
        }
        Ok(())
    }

    fn open_shared(&mut self) -> Result<(), StoreError> {
        let opener = Arc::clone(&self.opener);
        let path = &opener.path;
        if self.was_there && files::is_empty(path) {
            let detail = format!("database {} is gone, or empty", path.display());
            return Err(opener.condition.fail(StoreState::Lost, detail));
        }
        let mut counts = opener.account.lock();
        let flags = FLAGS | OpenFlags::SQLITE_OPEN_CREATE;
        self.connect(&mut counts, flags, |connection| schema::bring_up_to_date(connection, path))?;
        drop(counts);
        self.check_content();
        Ok(())
    }

    /// The connection. Opens it where it is not open.
    pub(super) fn connection(&mut self) -> Result<&mut Connection, StoreError> {
        if self.connection.is_none() {
            if self.opener.condition.lasting().is_some() {
                return Err(self.opener.closed());
            }
            if let Some((failed, error)) = &self.failed
                && failed.elapsed() < REOPEN_PAUSE
            {
                return Err(error.shared());
            }
            if let Err(error) = self.open_once() {
                let error = self.opener.condition.explain(error);
                self.failed = Some((Instant::now(), error.shared()));
                return Err(error);
            }
        }
        Ok(self.connection.as_mut().expect("it was opened just now"))
    }

    /// Whether the files are where they were, and whole.
    pub(super) fn check_files(&mut self) -> Result<(), StoreError> {
        let Some(connection) = &self.connection else { return Ok(()) };
        let content = || {
            let number = |pragma| {
                let number: i64 =
                    connection.pragma_query_value(None, pragma, |row| row.get(0)).ok()?;
                u64::try_from(number).ok()
            };
            number("page_count")?.checked_mul(number("page_size")?)
        };
        let mut files = self.opener.files.lock();
        let checked = files.as_mut().map_or(Ok(()), |files| files.check_whole(content));
        drop(files);
        self.is_settled &= checked.is_err();
        checked.map_err(|moved| {
            if matches!(&moved, Moved::Gone(path) | Moved::Other(path) if *path == self.opener.path)
            {
                self.settle_log();
            }
            self.opener.say(&moved)
        })
    }

    /// Brings the log of a file that lost its name into that file, once. Left where it is, SQLite would
    /// bring it into whichever file has the name when it is opened next.
    fn settle_log(&mut self) {
        if self.is_settled {
            return;
        }
        let Ok(connection) = self.connection() else { return };
        let busy = connection
            .busy_timeout(LOG_TIMEOUT)
            .and_then(|()| connection.query_row(TRUNCATE, [], |row| row.get::<_, bool>(0)));
        let restored = connection.busy_timeout(BRIEF);
        match busy.and_then(|busy| restored.map(|()| busy)) {
            Ok(busy) => self.is_settled = !busy,
            // The condition is in the log already, once a minute.
            Err(error) => tracing::debug!(%error, "log of the former database stays in its place"),
        }
    }

    /// Closes and reopens the handle, which closes every parked descriptor, unless another handle is
    /// open or lately was. Returns whether it did.
    pub(super) fn release_parked(&mut self, quiet: Duration) -> Result<bool, StoreError> {
        let opener = Arc::clone(&self.opener);
        let mut counts = opener.account.lock();
        // A handle whose files have no name any more is the last that reaches them.
        let alone = opener.alone.load(Ordering::SeqCst);
        if alone || !counts.is_quiet(quiet) || self.check_files().is_err() {
            return Ok(false);
        }
        self.close(&mut counts);
        counts.releasing = false;
        self.connect(&mut counts, FLAGS, |_| Ok(()))?;
        Ok(true)
    }

    /// Empties the log once it is large, or holds what makes the file smaller. SQLite itself does so
    /// only in a moment without a reader from the log, and readers that always overlap leave none. This
    /// checkpoint lets those that come read from the database, and waits for those that are there. In
    /// vain behind one that stays: then it is tried again when the log has grown by as much once more.
    pub(super) fn trim_log(&mut self) -> Result<(), StoreError> {
        let (trim_at, opener) = (self.trim_at, Arc::clone(&self.opener));
        let connection = self.connection()?;
        let log = connection.path().map(|path| format!("{path}-wal"));
        let size = log.and_then(|log| std::fs::metadata(log).ok()).map_or(0, |log| log.len());
        let shrinks = opener.shrinks.swap(false, Ordering::SeqCst);
        if size < trim_at && !shrinks {
            return Ok(());
        }
        connection.busy_timeout(LOG_TIMEOUT).during("trim log")?;
        let busy = connection.query_row(TRUNCATE, [], |row| row.get::<_, bool>(0));
        connection.busy_timeout(BRIEF).during("trim log")?;
        self.trim_at = trim_at.max(size + LOG_BYTES);
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
        self.connect_with(counts, flags, "", prepare)
    }

    fn connect_with(
        &mut self,
        counts: &mut FdCounts,
        flags: OpenFlags,
        first: &str,
        prepare: impl FnOnce(&mut Connection) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.connection = Some(self.opener.connect(flags)?);
        counts.writer_opened();
        let connection = self.connection.as_mut().expect("it was opened just now");
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        let wait = BRIEF.min(self.opener.busy_timeout);
        let ready = connection.execute_batch(first).during("open");
        let ready = ready.and_then(|()| self.opener.configure(connection, wait, ""));
        let ready = ready.and_then(|()| prepare(connection));
        // The first read opens the log and the shared memory, and takes the lock on the database.
        let ready = ready.and_then(|()| read_something(connection));
        let ready = ready.and_then(|()| self.know_files());
        let ready = ready.and_then(|()| self.opener.keep_one(counts));
        if ready.is_err() {
            self.close(counts);
        }
        ready
    }

    /// Remembers the files that are open; refuses one that took the place of the one before.
    fn know_files(&mut self) -> Result<(), StoreError> {
        let path = &self.opener.path;
        let files = DbFiles::opened(path).map_err(|moved| self.opener.say(&moved))?;
        let mut known = self.opener.files.lock();
        if known.as_ref().is_some_and(|known| !known.is_same(&files)) {
            drop(known);
            return Err(self.opener.say(&Moved::Other(path.clone())));
        }
        *known = Some(files);
        self.is_settled = false;
        self.was_there = true;
        Ok(())
    }

    /// Looks through a small database, and notes what is wrong with it.
    fn check_content(&self) {
        let Some(connection) = &self.connection else { return };
        if size_of(&self.opener.path) > CHECKED_BYTES {
            return;
        }
        let found: rusqlite::Result<String> =
            connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0));
        let path = self.opener.path.display();
        match found {
            Ok(found) if found == "ok" => {}
            Ok(found) => {
                let detail = format!("database {path} is damaged: {}", found.replace('\n', " "));
                self.opener.condition.fail(StoreState::Corrupt, detail);
            }
            Err(error) => self.opener.condition.note(&StoreError::from_sqlite("check", error)),
        }
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

fn read_something(connection: &Connection) -> Result<(), StoreError> {
    let sql = "SELECT COUNT(*) FROM sqlite_schema";
    connection.query_row(sql, [], |_| Ok(())).during("open")
}

fn size_of(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(u64::MAX, |found| found.len())
}
