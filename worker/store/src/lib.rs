//! The database. All SQL stands here, and nothing else names the engine.
//!
//! - A read opens a handle of its own and closes it before it returns: [`Store::read`].
//! - A write is a closure to the one writer, which puts what waits into one transaction, commits
//!   it (fsync) and only then answers and publishes events: [`Store::write`].
//! - Requests are counted in a database of their own: [`Limiter`].
//! - Another worker may write the same database during a recycle: [`Store::poll_foreign_commits`].
//!
//! # Invariants
//! - No type of the engine stands in the public API: another engine would be another crate with
//!   the same one.
//! - Columns are read by name.
//! - An audited change goes through an [`AuditedWriter`], which only
//!   [`Store::change`] makes: no change without its record.
//!
//! One process holds at most one [`Store`] of a database: SQLite's locks are the process's, and
//! the account of descriptors is one store's.

mod account;
mod agents;
mod audit;
mod audited_writer;
mod backup;
mod blobs;
mod budgets;
mod claims;
mod column;
mod commit;
mod compactions;
mod condition;
mod containers;
mod days;
mod error;
mod event_bus;
mod events;
mod files;
mod handle;
mod idempotency;
mod job;
mod keys;
mod limiter;
mod messages;
mod page;
mod pool;
mod queue;
mod reader;
mod record;
mod restore;
mod retention;
mod schema;
mod sessions;
mod space;
mod steps;
mod storage;
mod transfer;
mod turns;
mod upkeep;
mod usage;
mod vacuum;
mod waiting;
mod waits;
mod workplaces;
mod writer;
mod writer_handle;

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use evonic_shared::{config, kind::Kind, store_report::StoreState};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

pub use audit::{AuditQuery, Order};
pub use audited_writer::AuditedWriter;
pub use backup::back_up;
pub use blobs::{PIECE_BYTES, StoredBlob, Upload};
pub use budgets::{BudgetCheck, BudgetList};
pub use claims::TakenTurn;
pub use column::after as time_after;
pub use compactions::{LastCompaction, SessionItem, TurnPlace};
pub use condition::Condition;
pub use containers::ContainerRow;
pub use days::uptime;
pub use error::{Conflict, DatabaseError, StoreError};
pub use event_bus::{BudgetNotices, Notice, Subscription};
pub use events::{AfterPage, EventPage, LogBounds, LongEvent};
pub use idempotency::{KeptAnswer, RequestKey};
pub use keys::KeyRow;
pub use limiter::{Charge, Level, Limiter, Meter};
pub use messages::NewPost;
pub use page::{Cursor, List, Paging};
pub use reader::Reader;
pub use restore::{RestoreError, Restored, restore};
pub use retention::{ExpiredSession, Fold, FoldPlan, Keep, Mark, UpkeepPage};
pub use steps::NewReply;
pub use storage::Storage;
pub use transfer::{
    Existing, Export, ExportOf, ImportError, ImportOptions, Imported, Importer, MAX_LINE_BYTES,
};
pub use upkeep::Making;
pub use usage::UsageQuery;
pub use waiting::WaitingTurn;
pub use waits::{LONGEST_WAIT, WaitOutcome};
pub use writer::{Claimed, PendingCall, Writer};

use crate::{
    budgets::BudgetPresence,
    commit::WriteLoop,
    event_bus::EventBus,
    handle::DbOpener,
    job::{Call, Job, ReadCall},
    pool::{ReadPool, guarded},
    queue::WriteQueue,
    writer_handle::WriterHandle,
};
use evonic_domain::{Origin, SessionId};
use evonic_handles::{Budget, Permit};

/// The database. Shared by cloning; closed by [`Store::close`], or with its last clone.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

/// Fields drop in order of declaration: readers first, so that the writer's handle is the last.
#[derive(Debug)]
struct Inner {
    readers: ReadPool,
    writer: WriteQueue,
    opener: Arc<DbOpener>,
    budget: Budget,
    acquire_timeout: Duration,
    audit_keep: Duration,
    event_bus: EventBus,
    budget_presence: BudgetPresence,
    /// Something waits for whoever looks after the database.
    upkeep: Notify,
    /// Sessions that are being made, a piece at a time.
    making: Mutex<HashSet<SessionId>>,
}

impl Store {
    /// Opens the database, brings its schema up to date, and starts the writer and the bounded,
    /// named reader threads. Blocks: call it before the runtime serves.
    ///
    /// Holds one permit of [`Kind::Sqlite`] until it is closed; those that are left are for readers.
    ///
    /// # Errors
    /// [`StoreError`] when the file cannot be opened, is of a later version or of another
    /// program, or is corrupt.
    pub fn open(path: &Path, settings: &config::Store, budget: Budget) -> Result<Self, StoreError> {
        let parts = Opening::new(path, settings, budget, None)?;
        let mut handle = WriterHandle::new(Arc::clone(&parts.opener), false);
        handle.open(Instant::now() + settings.busy_timeout)?;
        parts.start(handle)
    }

    /// As [`Store::open`], for a service that stays up whatever is wrong with its database: where
    /// it is locked, full, lost or corrupt, the store opens without it and says so
    /// ([`Store::condition`]). What ends by itself is tried again; reads and writes are refused
    /// until then, reads only where they cannot be done.
    ///
    /// # Errors
    /// [`StoreError`] when the file is of a later version, or of another program where there never
    /// was a database of this one, and when its folder or a thread cannot be had.
    pub fn open_for_service(
        path: &Path,
        settings: &config::Store,
        budget: Budget,
        memory: Memory,
    ) -> Result<Self, StoreError> {
        let Memory { was_there, is_replaced, file, deadline } = memory;
        let parts = Opening::new(path, settings, budget, Some(file))?;
        let mut handle = WriterHandle::new(Arc::clone(&parts.opener), was_there);
        let condition = &parts.opener.condition;
        if is_replaced {
            let detail = format!("{} is another file than the one that is in use", path.display());
            condition.fail(StoreState::Replaced, detail);
            return parts.start(handle);
        }
        match handle.open(deadline) {
            Ok(()) => {}
            Err(StoreError::Alien { path }) if was_there => {
                let detail = format!("database {} belongs to another program", path.display());
                condition.fail(StoreState::Replaced, detail);
            }
            Err(error) if error.state().is_some() => drop(condition.explain(error)),
            Err(error) => return Err(error),
        }
        parts.start(handle)
    }

    /// What is wrong with the database, to be asked at any time.
    #[must_use]
    pub fn condition(&self) -> Condition {
        self.inner.opener.condition.clone()
    }

    /// Runs `f` on a handle that is opened for this call and closed before it returns, on one of
    /// the reader threads, within one read transaction.
    ///
    /// Cancel safe: a dropped call still closes its handle.
    ///
    /// # Errors
    /// [`StoreError::Exhausted`] when no handle came free within `store.acquire_timeout`,
    /// [`StoreError::Panicked`] when `f` did, and what `f` returns.
    pub async fn read<T, F>(&self, f: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Reader<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let inner = &self.inner;
        let permit = inner.budget.acquire(Kind::Sqlite, inner.acquire_timeout).await?;
        let opener = Arc::clone(&inner.opener);
        let (answer, answered) = oneshot::channel();
        inner.readers.submit(Box::new(move || {
            // The caller has gone.
            if answer.is_closed() {
                return;
            }
            if opener.reads_by_writer() {
                let call = ReadCall { closure: f, answer, permit };
                // Fails only when the writer has ended.
                let _ = opener.writer.send(Job::Read(Box::new(call)));
                return;
            }
            // The handle is closed by the answer.
            let handle = opener.open_reader(permit);
            let read = handle.and_then(|handle| guarded(|| f(&Reader::new(&handle))));
            let _ = answer.send(read);
        }))?;
        let read = answered.await.unwrap_or(Err(StoreError::Closed));
        read.map_err(|error| match error.state() {
            // A closure that would write: no reader's handle does.
            None | Some(StoreState::ReadOnly) => error,
            Some(_) => inner.opener.condition.explain(error),
        })
    }

    /// Runs `f` in the writer's next transaction; returns after its commit is on disk. An error
    /// of `f` undoes what `f` did and nothing else. Events that `f` appended are published after
    /// the commit, in order.
    ///
    /// The writer's queue is bounded: a call waits for its place in it at most
    /// `store.acquire_timeout`.
    ///
    /// Not cancel safe: a dropped call may still be committed.
    ///
    /// # Errors
    /// What `f` returns, [`StoreError::Panicked`] when it panicked, [`StoreError::Overloaded`]
    /// when the queue stayed full, and [`StoreError`] when the transaction is lost, with everything
    /// in it: when its commit fails, or the disk is full.
    pub async fn write<T, F>(&self, f: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Writer<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let written =
            self.inner.writer.ask(|reply| Job::Write(Box::new(Call::new(f, reply)))).await;
        written.map_err(|error| self.inner.opener.condition.explain(error))
    }

    /// As [`Store::write`], for audited changes: each change is recorded with its origin in
    /// the same transaction.
    ///
    /// # Errors
    /// As [`Store::write`]; also when the record cannot be written, and then nothing is changed.
    pub async fn change<T, F>(&self, origin: Origin, f: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut AuditedWriter<'_, '_>) -> Result<T, StoreError> + Send + 'static,
    {
        let keep = self.inner.audit_keep;
        let opener = Arc::clone(&self.inner.opener);
        let change = move |writer: &mut Writer<'_>| {
            f(&mut AuditedWriter::new(writer, origin, keep, &opener.room))
        };
        self.write(change).await
    }

    /// A round trip through the writer's queue and a read on its handle, then one through a reader
    /// thread: the part's proof of life. Opens no handle. Where every reader thread is busy, the
    /// end of any read is proof enough, and so is a database that lets none of them go on. Cancel
    /// safe.
    ///
    /// # Errors
    /// [`StoreError`] when the writer cannot answer, [`StoreError::Exhausted`] when no reader
    /// thread came free within `store.acquire_timeout`.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.inner.writer.ask_at_once(Job::Ping).await?;
        match self.inner.ping_readers().await {
            Err(StoreError::Exhausted(_)) if self.condition().report().is_some() => Ok(()),
            passed => passed,
        }
    }

    /// Follows the events of one session from now on.
    #[must_use]
    pub fn subscribe(&self, session: &SessionId) -> Subscription {
        self.inner.event_bus.subscribe(session)
    }

    /// Follows `budget.reached` of every session from now on, as this process commits it.
    #[must_use]
    pub fn budget_notices(&self) -> BudgetNotices {
        self.inner.event_bus.budget_notices()
    }

    /// Asks whether another process changed the database since the last call (`data_version`); if
    /// so, sends every subscription [`Notice::Foreign`]. Returns whether it did. After the writer
    /// reopened its handle the answer is yes, because it cannot be known.
    ///
    /// # Errors
    /// [`StoreError`] when the writer cannot answer.
    pub async fn poll_foreign_commits(&self) -> Result<bool, StoreError> {
        self.inner.writer.ask_at_once(Job::PollForeignCommits).await
    }

    /// Finishes queued writes, checkpoints, closes every handle and joins every thread. Blocks.
    pub fn close(self) {
        self.inner.readers.close();
        self.inner.writer.close();
        self.inner.event_bus.close();
    }
}

/// What a service knows of its database before it opens it.
#[derive(Clone, Debug)]
pub struct Memory {
    /// Whether there was a database before: then none is made.
    pub was_there: bool,
    /// Whether another worker still has the file open that was at its place: this one would be
    /// opened with the log of that.
    pub is_replaced: bool,
    /// The file that says so, for an operator to be told of.
    pub file: PathBuf,
    /// Until when a lock of another process is waited for.
    pub deadline: Instant,
}

/// A store that is being opened.
struct Opening {
    opener: Arc<DbOpener>,
    queue: mpsc::Receiver<Job>,
    jobs: mpsc::Sender<Job>,
    settings: config::Store,
    budget: Budget,
}

impl Opening {
    fn new(
        path: &Path,
        settings: &config::Store,
        budget: Budget,
        memory: Option<PathBuf>,
    ) -> Result<Self, StoreError> {
        let (jobs, queue) = mpsc::channel();
        let opener =
            DbOpener::new(path, settings.busy_timeout, memory, budget.clone(), jobs.clone())?;
        Ok(Self { opener, queue, jobs, settings: settings.clone(), budget })
    }

    fn start(self, handle: WriterHandle) -> Result<Store, StoreError> {
        let Self { opener, queue, jobs, settings, budget } = self;
        let event_bus = EventBus::default();
        let budget_presence = BudgetPresence::default();
        let serve = WriteLoop::new(
            queue,
            handle,
            event_bus.clone(),
            budget_presence.clone(),
            settings.batch,
        );
        let (acquire_timeout, audit_keep) = (settings.acquire_timeout, settings.audit_keep);
        let writer = WriteQueue::start(jobs, serve, settings.batch, acquire_timeout)?;
        let readers = ReadPool::start(free_handles(&budget))?;
        let upkeep = Notify::new();
        let inner = Inner {
            readers,
            writer,
            opener,
            budget,
            acquire_timeout,
            audit_keep,
            event_bus,
            budget_presence,
            upkeep,
            making: Mutex::default(),
        };
        Ok(Store { inner: Arc::new(inner) })
    }
}

impl Inner {
    async fn ping_readers(&self) -> Result<(), StoreError> {
        let pass = |opener: &Arc<DbOpener>, _permit| {
            opener.pass();
            Ok(())
        };
        tokio::select! {
            biased;
            passed = self.on_a_reader(pass) => passed,
            () = self.readers.progress() => Ok(()),
        }
    }

    /// Does `work` under a permit, on one of the reader threads; a call that has gone does none.
    async fn on_a_reader<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<DbOpener>, Permit) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = self.budget.acquire(Kind::Sqlite, self.acquire_timeout).await?;
        let opener = Arc::clone(&self.opener);
        let (answer, answered) = oneshot::channel();
        self.readers.submit(Box::new(move || {
            if !answer.is_closed() {
                // Fails only when the caller has gone.
                let _ = answer.send(work(&opener, permit));
            }
        }))?;
        answered.await.unwrap_or(Err(StoreError::Closed))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.event_bus.close();
    }
}

/// How many handles the budget has left for readers.
fn free_handles(budget: &Budget) -> u32 {
    let sqlite = budget.usage().into_iter().find(|usage| usage.kind == Kind::Sqlite);
    sqlite.map_or(0, |usage| usage.limit.saturating_sub(usage.permits))
}

#[cfg(test)]
mod tests;
