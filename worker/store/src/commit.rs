//! The writer: one thread, one handle, one transaction for what waits.
//!
//! ```text
//! first job -> BEGIN IMMEDIATE -> (SAVEPOINT, closure, RELEASE) for all that waits, up to
//! `store.batch` -> COMMIT (fsync) -> publish events -> answer all
//! ```

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use rusqlite::Connection;

use crate::{
    StoreError, Writer,
    error::During,
    event_bus::EventBus,
    handle::WriterHandle,
    job::{Job, Work},
};
use evonic_domain::Event;

/// The time without an open and a write after which the writer reopens its own to close what
/// others left parked.
const QUIET: Duration = Duration::from_secs(1);

/// The writer's thread.
pub(super) struct WriteLoop {
    jobs: Receiver<Job>,
    handle: WriterHandle,
    event_bus: EventBus,
    batch: usize,
    /// The `data_version` of the last look; none after the handle was reopened, when another
    /// process may have written unseen.
    last_version: Option<i64>,
    /// When to try to release parked descriptors.
    release_at: Option<Instant>,
}

impl WriteLoop {
    /// A writer with this handle. The next poll for commits of others compares with now.
    pub(super) fn new(
        jobs: Receiver<Job>,
        mut handle: WriterHandle,
        event_bus: EventBus,
        batch: u32,
    ) -> Result<Self, StoreError> {
        let last_version = Some(data_version(handle.connection()?)?);
        let batch = batch.max(1) as usize;
        Ok(Self { jobs, handle, event_bus, batch, last_version, release_at: None })
    }

    /// Serves until it is asked to end; then closes the handle, which checkpoints the database
    /// when no other process has it open.
    pub(super) fn run(mut self) {
        let mut next = None;
        loop {
            let Some(job) = next.take().or_else(|| self.wait()) else { continue };
            match job {
                Job::Write(work) => next = self.write(work),
                Job::Ping(reply) => reply.answer(self.ping()),
                Job::PollForeignCommits(reply) => reply.answer(self.poll_foreign_commits()),
                Job::ReleaseParked => self.release_at = Some(Instant::now() + QUIET),
                Job::Close => return,
            }
        }
    }

    /// The next job; none when it was time to release parked descriptors instead.
    fn wait(&mut self) -> Option<Job> {
        let job = match self.release_at {
            None => self.jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(at) => self.jobs.recv_timeout(at.saturating_duration_since(Instant::now())),
        };
        match job {
            Ok(job) => Some(job),
            Err(RecvTimeoutError::Disconnected) => Some(Job::Close),
            Err(RecvTimeoutError::Timeout) => {
                self.release_parked();
                None
            }
        }
    }

    fn release_parked(&mut self) {
        let released = self.handle.release_parked(QUIET);
        if let Ok(false) = released {
            self.release_at = Some(Instant::now() + QUIET);
            return;
        }
        (self.last_version, self.release_at) = (None, None);
        if let Err(error) = released {
            tracing::error!(error = &error as &dyn std::error::Error, "database lost");
        }
    }

    /// Writes this and what else waits in one transaction. Returns a job of another sort that it
    /// met on the way.
    fn write(&mut self, first: Box<dyn Work>) -> Option<Job> {
        let mut batch = Batch { next: Some(first), done: Vec::new(), other: None };
        match self.commit(&mut batch) {
            Ok(events) => {
                self.event_bus.publish(events);
                batch.answer(None);
                if let Err(error) = self.handle.trim_log() {
                    tracing::warn!(error = &error as &dyn std::error::Error, "log not trimmed");
                }
            }
            Err(failure) => {
                self.roll_back();
                // Where nothing began, what waits would meet the same, each after a timeout.
                while let Some(work) = batch.next.take() {
                    batch.done.push(work);
                    batch.draw(&self.jobs, self.batch);
                }
                batch.answer(Some(&failure));
            }
        }
        if self.release_at.is_some() {
            self.release_at = Some(Instant::now() + QUIET);
        }
        batch.other
    }

    fn commit(&mut self, batch: &mut Batch) -> Result<Vec<Event>, StoreError> {
        let connection: &Connection = self.handle.connection()?;
        connection.execute_batch("BEGIN IMMEDIATE").during("begin")?;
        let mut writer = Writer::new(connection);
        while let Some(mut work) = batch.next.take() {
            let stands = run_one(&mut writer, work.as_mut());
            batch.done.push(work);
            stands?;
            batch.draw(&self.jobs, self.batch);
        }
        connection.execute_batch("COMMIT").during("commit")?;
        Ok(writer.events)
    }

    fn roll_back(&mut self) {
        if let Ok(connection) = self.handle.connection()
            && !connection.is_autocommit()
            && let Err(error) = connection.execute_batch("ROLLBACK")
        {
            tracing::error!(error = &error as &dyn std::error::Error, "rollback failed");
        }
    }

    fn ping(&mut self) -> Result<(), StoreError> {
        let connection = self.handle.connection()?;
        connection
            .prepare_cached("SELECT COUNT(*) FROM agents")
            .and_then(|mut statement| statement.query_row([], |_| Ok(())))
            .during("ping")
    }

    fn poll_foreign_commits(&mut self) -> Result<bool, StoreError> {
        let version = data_version(self.handle.connection()?)?;
        let changed = self.last_version != Some(version);
        self.last_version = Some(version);
        if changed {
            self.event_bus.tell_foreign();
        }
        Ok(changed)
    }
}

/// The jobs of one transaction.
struct Batch {
    next: Option<Box<dyn Work>>,
    done: Vec<Box<dyn Work>>,
    /// A job of another sort, for after it.
    other: Option<Job>,
}

impl Batch {
    /// Draws the next write, if one waits and the batch has room.
    fn draw(&mut self, jobs: &Receiver<Job>, batch: usize) {
        if self.done.len() < batch && self.other.is_none() {
            match jobs.try_recv() {
                Ok(Job::Write(work)) => self.next = Some(work),
                Ok(job) => self.other = Some(job),
                Err(_) => {}
            }
        }
    }

    fn answer(&mut self, failure: Option<&StoreError>) {
        self.done.drain(..).for_each(|work| work.answer(failure));
    }
}

/// Runs one closure in a savepoint of its own; an error of it undoes it and nothing else.
///
/// # Errors
/// When the whole transaction is lost, as SQLite rolls it back when the disk is full.
fn run_one(writer: &mut Writer<'_>, work: &mut dyn Work) -> Result<(), StoreError> {
    let connection = writer.connection();
    let statement = |sql| connection.prepare_cached(sql).and_then(|mut s| s.execute([]));
    statement("SAVEPOINT job").during("begin job")?;
    let position = writer.events.len();
    work.run(writer);
    let error = work.error();
    if connection.is_autocommit() {
        return Err(error.map_or_else(StoreError::lost, StoreError::shared));
    }
    if error.is_some() {
        writer.events.truncate(position);
        statement("ROLLBACK TO job").during("undo job")?;
    }
    statement("RELEASE job").during("end job")?;
    Ok(())
}

/// Changes when another process commits.
fn data_version(connection: &Connection) -> Result<i64, StoreError> {
    connection.pragma_query_value(None, "data_version", |row| row.get(0)).during("look abroad")
}
