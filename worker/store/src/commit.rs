//! The writer: one thread, one handle, one transaction for what waits.
//!
//! ```text
//! first job -> BEGIN IMMEDIATE -> (SAVEPOINT, closure, RELEASE) for all that waits, up to
//! `store.batch` -> COMMIT (fsync) -> publish events -> answer everybody
//! ```

use std::{
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use rusqlite::Connection;

use crate::{
    StoreError, Writer,
    error::During,
    handle::WriterHandle,
    hub::EventHub,
    job::{Job, Work},
};
use evonic_domain::Event;

/// How long nobody opens a handle or writes before the writer reopens its own to close what
/// others left parked.
const QUIET: Duration = Duration::from_secs(1);

/// The writer's thread.
pub(super) struct WriteLoop {
    jobs: Receiver<Job>,
    handle: WriterHandle,
    hub: EventHub,
    batch: usize,
    /// The `data_version` of the last look; none after the handle was reopened, when another
    /// process may have written unseen.
    seen: Option<i64>,
    /// When to try to tidy up.
    tidy_at: Option<Instant>,
}

impl WriteLoop {
    /// A writer with this handle. The next look abroad compares with now.
    pub(super) fn new(
        jobs: Receiver<Job>,
        mut handle: WriterHandle,
        hub: EventHub,
        batch: u32,
    ) -> Result<Self, StoreError> {
        let seen = Some(data_version(handle.connection()?)?);
        let batch = batch.max(1) as usize;
        Ok(Self { jobs, handle, hub, batch, seen, tidy_at: None })
    }

    /// Serves until it is asked to end; then closes the handle, which checkpoints the database
    /// when no other process has it open.
    pub(super) fn run(mut self) {
        let mut next = None;
        loop {
            let job = match next.take() {
                Some(job) => job,
                None => match self.wait() {
                    Some(job) => job,
                    None => continue,
                },
            };
            match job {
                Job::Write(work) => next = self.write(work),
                Job::Ping(asker) => asker.answer(self.ping()),
                Job::LookAbroad(asker) => asker.answer(self.look_abroad()),
                Job::Tidy => self.tidy_at = Some(Instant::now() + QUIET),
                Job::Close => return,
            }
        }
    }

    /// The next job; none when it was time to tidy up instead.
    fn wait(&mut self) -> Option<Job> {
        let job = match self.tidy_at {
            None => self.jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(at) => self.jobs.recv_timeout(at.saturating_duration_since(Instant::now())),
        };
        match job {
            Ok(job) => Some(job),
            Err(RecvTimeoutError::Disconnected) => Some(Job::Close),
            Err(RecvTimeoutError::Timeout) => {
                self.tidy();
                None
            }
        }
    }

    fn tidy(&mut self) {
        match self.handle.tidy(QUIET) {
            Ok(false) => self.tidy_at = Some(Instant::now() + QUIET),
            Ok(true) => (self.seen, self.tidy_at) = (None, None),
            Err(error) => {
                (self.seen, self.tidy_at) = (None, None);
                tracing::error!(error = &error as &dyn std::error::Error, "database lost");
            }
        }
    }

    /// Writes this and what else waits in one transaction. Returns a job of another sort that it
    /// met on the way.
    fn write(&mut self, first: Box<dyn Work>) -> Option<Job> {
        let mut drawn = Drawn { next: Some(first), done: Vec::new(), other: None };
        match self.commit(&mut drawn) {
            Ok(events) => {
                self.hub.publish(events);
                drawn.answer(None);
                if let Err(error) = self.handle.trim_log() {
                    tracing::warn!(error = &error as &dyn std::error::Error, "log not trimmed");
                }
            }
            Err(failure) => {
                self.roll_back();
                // Where nothing began, what waits would meet the same, each after a timeout.
                while let Some(work) = drawn.next.take() {
                    drawn.done.push(work);
                    drawn.draw(&self.jobs, self.batch);
                }
                drawn.answer(Some(&failure));
            }
        }
        if self.tidy_at.is_some() {
            self.tidy_at = Some(Instant::now() + QUIET);
        }
        drawn.other
    }

    fn commit(&mut self, drawn: &mut Drawn) -> Result<Vec<Event>, StoreError> {
        let connection: &Connection = self.handle.connection()?;
        connection.execute_batch("BEGIN IMMEDIATE").during("begin")?;
        let mut writer = Writer::new(connection);
        while let Some(mut work) = drawn.next.take() {
            let stands = run_one(&mut writer, work.as_mut());
            drawn.done.push(work);
            stands?;
            drawn.draw(&self.jobs, self.batch);
        }
        connection.execute_batch("COMMIT").during("commit")?;
        Ok(writer.into_events())
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

    fn look_abroad(&mut self) -> Result<bool, StoreError> {
        let version = data_version(self.handle.connection()?)?;
        let changed = self.seen != Some(version);
        self.seen = Some(version);
        if changed {
            self.hub.tell_foreign();
        }
        Ok(changed)
    }
}

/// The jobs of one transaction.
struct Drawn {
    next: Option<Box<dyn Work>>,
    done: Vec<Box<dyn Work>>,
    /// A job of another sort, for after it.
    other: Option<Job>,
}

impl Drawn {
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
    let mark = writer.mark();
    work.run(writer);
    let error = work.error();
    if connection.is_autocommit() {
        let lost = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT_ROLLBACK);
        return Err(error.map_or_else(
            || StoreError::from_sqlite("transaction", rusqlite::Error::SqliteFailure(lost, None)),
            StoreError::shared,
        ));
    }
    if error.is_some() {
        writer.forget_after(mark);
        statement("ROLLBACK TO job").during("undo job")?;
    }
    statement("RELEASE job").during("end job")?;
    Ok(())
}

/// Changes when another process commits.
fn data_version(connection: &Connection) -> Result<i64, StoreError> {
    connection.pragma_query_value(None, "data_version", |row| row.get(0)).during("look abroad")
}
