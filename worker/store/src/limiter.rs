//! Counts of requests: rate limits in a database of their own, `limits.db`.
//!
//! Every request takes one statement, on a handle that is opened for it and closed with it. The
//! statement looks at every meter of the request, and charges all of them or none; SQLite lets one
//! statement at a time write, so that two overlapping workers never grant more than one would.
//!
//! | Part | What it does |
//! |---|---|
//! | `meter` | what is asked, and the answer |
//! | `levels` | the statement (GCRA), and the removal of rows that say nothing any more |
//! | `opener` | opens the file: the keeper, a handle for each request, their descriptors |
//!
//! One thread, `store-limit`, does it all: where handles would only wait for each other's lock,
//! more of them are no faster. It holds two permits of kind `sqlite` for its whole life, so that
//! requests that wait to be counted keep no handle from those that read.
//!
//! A lost count is no lost promise: nothing here is synced to the disk, and a file that is broken
//! after a crash of the machine is made anew.

mod levels;
mod meter;
mod opener;
#[cfg(test)]
mod tests;

use std::{
    path::Path,
    sync::{
        Arc,
        mpsc::{self, TrySendError},
    },
    thread::JoinHandle,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::sync::oneshot;

pub use meter::{Charge, Level, Meter};

use super::{
    StoreError,
    limiter::{
        levels::{Levels, Moment},
        opener::LimitDbOpener,
    },
    pool::{guarded, join, spawn},
};
use evonic_handles::Budget;

/// The most requests that wait to be counted.
const WAITING: usize = 1024;

/// How long a request waits to be counted, at the most. Longer than a handle waits for a lock.
const COUNT_TIMEOUT: Duration = Duration::from_secs(1);

/// When to try again after that: a guess.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Counts requests. Shared by cloning; its thread and its handles end with its last clone.
#[derive(Clone, Debug)]
pub struct Limiter {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// None only while it is dropped.
    jobs: Option<mpsc::SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// A request that is to be counted.
struct Job {
    meters: Vec<Meter>,
    answer: oneshot::Sender<Result<Vec<Level>, StoreError>>,
}

impl Limiter {
    /// Opens the database, makes it if missing or broken, and starts the thread. A database that
    /// cannot be opened now is tried again with the next request: it is said in the log, and
    /// stops no worker from starting. Blocks.
    ///
    /// Holds two permits of kind `sqlite` until its last clone is dropped: the keeper's, whose
    /// handle stays open, and that of the one handle that a request has.
    ///
    /// # Errors
    /// [`StoreError::Exhausted`] when the permits are not to be had, [`StoreError::Thread`] when
    /// the thread is not.
    pub fn open(path: &Path, budget: &Budget) -> Result<Self, StoreError> {
        let (jobs, queue) = mpsc::sync_channel::<Job>(WAITING);
        let mut counter =
            Counter { opener: LimitDbOpener::new(path, budget)?, levels: Levels::default() };
        if let Err(error) = counter.opener.open() {
            tracing::warn!(path = %path.display(), %error, "requests cannot be counted yet");
        }
        let work = move || queue.into_iter().for_each(|job| counter.answer(job));
        let thread = spawn("store-limit".to_owned(), work)?;
        Ok(Self { inner: Arc::new(Inner { jobs: Some(jobs), thread: Some(thread) }) })
    }

    /// Counts a request against these meters, or refuses it: when a meter that is charged or
    /// checked has no room, nothing is charged. The levels are in the order of the meters, as they
    /// are afterwards; the request is granted when no level refuses.
    ///
    /// A call that is dropped may still be counted.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be counted; then nothing is charged, but for a call that was
    /// waited for in vain.
    pub async fn count(&self, meters: Vec<Meter>) -> Result<Vec<Level>, StoreError> {
        let Some(jobs) = &self.inner.jobs else { return Err(StoreError::Closed) };
        let (answer, answered) = oneshot::channel();
        jobs.try_send(Job { meters, answer }).map_err(|refused| match refused {
            TrySendError::Full(_) => overloaded(),
            TrySendError::Disconnected(_) => StoreError::Closed,
        })?;
        match tokio::time::timeout(COUNT_TIMEOUT, answered).await {
            Ok(Ok(counted)) => counted,
            Ok(Err(_)) => Err(StoreError::Closed),
            Err(_) => Err(overloaded()),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.jobs = None;
        self.thread.take().into_iter().for_each(join);
    }
}

const fn overloaded() -> StoreError {
    StoreError::Overloaded { waiting: WAITING as u32, retry_after: RETRY_AFTER }
}

/// What the thread has.
struct Counter {
    opener: LimitDbOpener,
    levels: Levels,
}

impl Counter {
    fn answer(&mut self, job: Job) {
        // The caller has gone.
        if job.answer.is_closed() {
            return;
        }
        let counted = guarded(|| self.count(&job.meters));
        // Fails only when the caller has gone.
        let _ = job.answer.send(counted);
    }

    fn count(&mut self, meters: &[Meter]) -> Result<Vec<Level>, StoreError> {
        let levels = &mut self.levels;
        self.opener.with_handle(|handle| levels.count(handle, meters, now()))
    }
}

/// The wall's clock, which all workers share. It may step; see [`levels`].
fn now() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Moment(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX / 2))
}
