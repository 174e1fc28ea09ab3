//! Waiting for what may come back, and telling how far it is.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use super::{Progress, causes};
use evonic_backend::{Class, WorkplaceError};

/// The first pause after a transient error; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// A copy that got no further for this long is given up: a machine that is started anew is back by
/// then. What is unfinished stays.
const PATIENCE: Duration = Duration::from_secs(600);

/// How often a file's progress is told at the most.
const INTERVAL: Duration = Duration::from_millis(100);

/// Who is told. Bounded: progress of a file that finds no room is not told.
pub(super) struct Told {
    progress: mpsc::Sender<Progress>,
    last: Mutex<Option<Instant>>,
}

impl Told {
    pub(super) const fn new(progress: mpsc::Sender<Progress>) -> Self {
        Self { progress, last: Mutex::new(None) }
    }

    /// Tells what has to be known, when there is room.
    pub(super) async fn tell(&self, progress: Progress) {
        // Nobody has to listen.
        let _ = self.progress.send(progress).await;
    }

    /// Tells how far a file is, now and then.
    pub(super) fn moved(&self, path: &str, bytes: u64) {
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= INTERVAL) {
            *last = Some(Instant::now());
            let _ = self.progress.try_send(Progress::Moved { path: path.to_owned(), bytes });
        }
    }
}

/// Pauses between attempts at one thing.
pub(super) struct Retry<'t> {
    told: &'t Told,
    failures: u32,
    since: Option<Instant>,
}

impl<'t> Retry<'t> {
    pub(super) const fn new(told: &'t Told) -> Self {
        Self { told, failures: 0, since: None }
    }

    /// It got further: a failure from now on is the first.
    pub(super) fn further(&mut self) {
        self.failures = 0;
        self.since = None;
    }

    /// Waits, when trying again may help.
    ///
    /// # Errors
    /// `error` when it may not, or patience is over.
    pub(super) async fn wait(&mut self, error: WorkplaceError) -> Result<(), WorkplaceError> {
        let since = *self.since.get_or_insert_with(Instant::now);
        if error.class() == Class::Permanent || since.elapsed() >= PATIENCE {
            return Err(error);
        }
        let pause = self.pause(&error);
        let retry_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        self.told.tell(Progress::Paused { reason: causes(&error), retry_ms }).await;
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// Doubling, capped, half of it random; no shorter than the error itself asks for.
    fn pause(&mut self, error: &WorkplaceError) -> Duration {
        let doubled = FIRST_PAUSE.saturating_mul(1 << self.failures.min(10)).min(LONGEST_PAUSE);
        self.failures += 1;
        let jittered = doubled.mul_f64(0.5 + fastrand::f64() / 2.0);
        match error {
            WorkplaceError::LeftAlone { seconds, .. } => {
                jittered.max(Duration::from_secs(*seconds))
            }
            WorkplaceError::Exhausted(exhausted) => jittered.max(exhausted.retry_after),
            _ => jittered,
        }
    }
}

/// Does what may be done twice until it succeeds or fails for good.
///
/// # Errors
/// See [`Retry::wait`].
pub(super) async fn retried<'a, T>(
    told: &Told,
    mut attempt: impl FnMut() -> BoxFuture<'a, Result<T, WorkplaceError>> + Send,
) -> Result<T, WorkplaceError> {
    let mut retry = Retry::new(told);
    loop {
        match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) => retry.wait(error).await?,
        }
    }
}
