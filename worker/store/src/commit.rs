//! The writer: one thread, one handle, one transaction for what waits.
//!
//! ```text
//! first job -> BEGIN IMMEDIATE -> (SAVEPOINT, closure, RELEASE) for all that waits, up to
//! `store.batch` -> COMMIT (fsync) -> publish events -> answer all
//! ```
//!
//! Where another process holds the database's lock, writes wait in line, each for
//! `store.busy_timeout` at most; the thread tries the lock again and again, and meanwhile answers
//! whoever does not need it.

use std::{
    collections::VecDeque,
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::{Duration, Instant},
};

use evonic_shared::store_report::StoreState;
use rusqlite::Connection;

use crate::{
    Condition, StoreError, Writer,
    budgets::BudgetPresence,
    days,
    error::During,
    event_bus::EventBus,
    job::{Job, Work},
    space,
    writer_handle::{BRIEF, WriterHandle},
};
use evonic_domain::Event;

/// The time without an open and a write after which the writer reopens its own to close what
/// others left parked.
const QUIET: Duration = Duration::from_secs(1);

/// A lock of another process that is held for so long is reported.
const LONG_LOCK: Duration = Duration::from_secs(1);

/// Between two looks whether today is a day more.
const DAYS_PAUSE: Duration = Duration::from_secs(3600);

/// What ends by itself, and is tried for until it does.
const PASSING: [StoreState; 4] =
    [StoreState::Locked, StoreState::DiskFull, StoreState::ReadOnly, StoreState::Failing];

/// The writer's thread.
pub(super) struct WriteLoop {
    jobs: Receiver<Job>,
    handle: WriterHandle,
    event_bus: EventBus,
    budget_presence: BudgetPresence,
    batch: usize,
    busy_timeout: Duration,
    /// Writes that wait, in their order.
    queue: VecDeque<Box<dyn Work>>,
    /// Since when another process has been holding the lock.
    locked_since: Option<Instant>,
    /// The `data_version` of the last look; none after the handle was reopened, when another
    /// process may have written unseen.
    last_version: Option<i64>,
    /// When to try to release parked descriptors.
    release_at: Option<Instant>,
    /// When it was last looked whether today is a day more.
    days_counted: Option<Instant>,
    closing: bool,
}

impl WriteLoop {
    /// A writer with this handle. The next poll for commits of others compares with now.
    pub(super) fn new(
        jobs: Receiver<Job>,
        mut handle: WriterHandle,
        event_bus: EventBus,
        budget_presence: BudgetPresence,
        batch: u32,
    ) -> Self {
        let connection = handle.connection().ok();
        let last_version = connection.and_then(|connection| data_version(connection).ok());
        let busy_timeout = handle.opener.busy_timeout;
        Self {
            jobs,
            handle,
            event_bus,
            budget_presence,
            batch: batch.max(1) as usize,
            busy_timeout,
            queue: VecDeque::new(),
            locked_since: None,
            last_version,
            release_at: None,
            days_counted: None,
            closing: false,
        }
    }

    /// Serves until it is asked to end; then closes the handle, which checkpoints the database
    /// when no other process has it open.
    pub(super) fn run(mut self) {
        while !(self.closing && self.queue.is_empty()) {
            if !self.queue.is_empty() {
                self.write();
            } else if let Some(job) = self.wait() {
                self.take(job);
            }
        }
    }

    fn take(&mut self, job: Job) {
        match job {
            Job::Write(work) => self.queue.push_back(work),
            Job::Read(work) => {
                let connection = self.handle.connection();
                work.run(connection.map(|connection| &*connection));
            }
            Job::Ping(reply) => reply.answer(self.ping()),
            Job::PollForeignCommits(reply) => reply.answer(self.poll_foreign_commits()),
            Job::ReleaseParked => self.release_at = Some(Instant::now() + QUIET),
            Job::Close => self.closing = true,
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
            self.condition().note(&error);
        }
    }

    /// Writes what waits in one transaction; where the lock is not to be had, tries once.
    fn write(&mut self) {
        let mut batch = Batch::default();
        let began = Instant::now();
        match self.commit(&mut batch) {
            Ok(events) => {
                self.locked_since = None;
                // Perhaps nothing was written: of the rest it says nothing.
                self.condition().end(&[StoreState::Locked]);
                self.event_bus.publish(events);
                batch.answer(None);
                if let Err(error) = self.handle.trim_log() {
                    tracing::warn!(error = &error as &dyn std::error::Error, "log not trimmed");
                }
            }
            Err(StoreError::Locked) if batch.done.is_empty() => {
                // As a rule SQLite has waited for so long.
                self.wait_for_lock(BRIEF.saturating_sub(began.elapsed()));
            }
            Err(failure) => {
                self.roll_back();
                self.budget_presence.forget();
                let failure = self.condition().explain(failure);
                // Where nothing began, what waits would meet the same.
                if batch.done.is_empty() {
                    batch.done.extend(self.queue.drain(..));
                }
                batch.answer(Some(&failure));
            }
        }
        if self.release_at.is_some() {
            self.release_at = Some(Instant::now() + QUIET);
        }
        if let Some(job) = batch.other {
            self.take(job);
        }
    }

    /// Answers those who do not need the lock, and those who have waited for it for too long.
    fn wait_for_lock(&mut self, pause: Duration) {
        let since = *self.locked_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= LONG_LOCK {
            self.condition().note(&StoreError::Locked);
        }
        let mut next = self.jobs.recv_timeout(pause).ok();
        while let Some(job) = next {
            self.take(job);
            next = self.jobs.try_recv().ok();
        }
        while self.queue.front().is_some_and(|work| work.asked().elapsed() >= self.busy_timeout) {
            if let Some(work) = self.queue.pop_front() {
                work.answer(Some(&StoreError::Locked));
            }
        }
        if self.queue.is_empty() {
            self.locked_since = None;
        }
    }

    fn commit(&mut self, batch: &mut Batch) -> Result<Vec<Event>, StoreError> {
        self.handle.connection()?;
        self.handle.check_files()?;
        if let Some(report) = self.condition().lasting() {
            return Err(StoreError::Unusable(Box::new(report)));
        }
        let connection: &Connection = self.handle.connection()?;
        connection.execute_batch("BEGIN IMMEDIATE").during("begin")?;
        let mut writer = Writer::new(connection, self.budget_presence.clone());
        while let Some(mut work) = self.queue.pop_front() {
            let stands = run_one(&mut writer, work.as_mut());
            batch.done.push(work);
            stands?;
            batch.draw(&self.jobs, &mut self.queue, self.batch);
            if batch.done.len() >= self.batch {
                break;
            }
        }
        let events = std::mem::take(&mut writer.events);
        self.handle.check_files()?;
        self.handle.connection()?.execute_batch("COMMIT").during("commit")?;
        // What was written meanwhile into a file without a name is not there. Of one that cannot be
        // looked at just now nothing is known to be wrong.
        match self.handle.check_files() {
            Err(unseen) if unseen.state() == Some(StoreState::Failing) => {
                self.condition().note(&unseen);
            }
            checked => checked?,
        }
        Ok(events)
    }

    fn roll_back(&mut self) {
        if let Ok(connection) = self.handle.connection()
            && !connection.is_autocommit()
            && let Err(error) = connection.execute_batch("ROLLBACK")
        {
            tracing::error!(error = &error as &dyn std::error::Error, "rollback failed");
        }
    }

    /// Answers that this thread works. What is wrong with the database itself is noted, and is no
    /// sign that it does not.
    fn ping(&mut self) -> Result<(), StoreError> {
        let read = self.handle.check_files().and_then(|()| self.read_something());
        self.count_days();
        self.measure();
        self.foresee_a_full_disk();
        self.try_to_recover();
        match read {
            Err(error) if error.state().is_none() => Err(error),
            Err(error) => {
                self.condition().note(&error);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn read_something(&mut self) -> Result<(), StoreError> {
        let connection = self.handle.connection()?;
        connection
            .prepare_cached("SELECT COUNT(*) FROM agents")
            .and_then(|mut statement| statement.query_row([], |_| Ok(())))
            .during("ping")?;
        // Its files have their names again.
        self.condition().end(&[StoreState::Replaced, StoreState::Lost]);
        Ok(())
    }

    /// Counts today, where it is a day more, also while nobody changes anything.
    fn count_days(&mut self) {
        if self.days_counted.is_some_and(|counted| counted.elapsed() < DAYS_PAUSE) {
            return;
        }
        self.days_counted = Some(Instant::now());
        let is_well = self.condition().report().is_none();
        if let (true, Ok(connection)) = (is_well, self.handle.connection()) {
            let is_new = days::is_new(connection);
            let seen = is_new.and_then(|is_new| if is_new { days::see(connection) } else { Ok(0) });
            if let Err(error) = seen.during("count days") {
                tracing::debug!(error = &error as &dyn std::error::Error, "day is not counted yet");
            }
        }
    }

    /// Looks how large the database is, and how much room it has.
    fn measure(&mut self) {
        let opener = std::sync::Arc::clone(&self.handle.opener);
        let is_well = opener.condition.lasting().is_none();
        if let (true, Ok(connection)) = (is_well, self.handle.connection()) {
            opener.storage.measure(connection, &opener.path, &opener.room);
        }
    }

    fn foresee_a_full_disk(&self) {
        if space::is_spent(&self.handle.opener.path) {
            self.condition().note(&StoreError::Full);
        }
    }

    /// Where writes failed for what may be over, tries whether they do not any more.
    fn try_to_recover(&mut self) {
        let report = self.condition().report();
        if !report.is_some_and(|report| PASSING.contains(&report.state)) {
            return;
        }
        if let Err(error) = self.handle.share() {
            self.condition().note(&error);
        }
        let Ok(connection) = self.handle.connection() else { return };
        let written = connection
            .execute_batch("BEGIN IMMEDIATE; UPDATE instance SET id = id; COMMIT")
            .during("try to write");
        match written {
            Ok(()) => self.recovered(),
            Err(error) => {
                self.roll_back();
                self.condition().note(&error);
            }
        }
    }

    /// Something was written just now.
    fn recovered(&self) {
        // A log that has room of its own takes a little on a full disk, too.
        let over: &[StoreState] = if space::is_enough(&self.handle.opener.path) {
            &PASSING
        } else {
            &[StoreState::Locked, StoreState::ReadOnly, StoreState::Failing]
        };
        self.condition().end(over);
    }

    fn condition(&self) -> &Condition {
        &self.handle.opener.condition
    }

    fn poll_foreign_commits(&mut self) -> Result<bool, StoreError> {
        let version = data_version(self.handle.connection()?)?;
        let changed = self.last_version != Some(version);
        self.last_version = Some(version);
        if changed {
            self.budget_presence.forget();
            self.event_bus.tell_foreign();
        }
        Ok(changed)
    }
}

/// The jobs of one transaction.
#[derive(Default)]
struct Batch {
    done: Vec<Box<dyn Work>>,
    /// A job of another sort, for after it.
    other: Option<Job>,
}

impl Batch {
    /// Draws the next write, if one came and the batch has room.
    fn draw(&mut self, jobs: &Receiver<Job>, queue: &mut VecDeque<Box<dyn Work>>, batch: usize) {
        if self.done.len() < batch && queue.is_empty() && self.other.is_none() {
            match jobs.try_recv() {
                Ok(Job::Write(work)) => queue.push_back(work),
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
/// When the whole transaction is lost: SQLite rolls it back when the disk is full, and what else is
/// wrong with the database itself is not this closure's alone.
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
    if let Some(error) = error.filter(|error| error.state().is_some()) {
        return Err(error.shared());
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
