//! Tries again after transient errors.

use std::time::{Duration, Instant};

use evonic_shared::{backoff::Backoff, error_chain::ErrorChain};
use futures_util::future::BoxFuture;

use super::progress::{Progress, ProgressSink};
use evonic_backend::{Class, Result, WorkplaceError};

/// Pauses after transient errors.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(15));

/// A copy that got no further for this long is given up: a machine that is started anew is back by
/// then. What is unfinished stays.
const LIMIT: Duration = Duration::from_secs(600);

/// Pauses between attempts at one thing.
pub(super) struct Retry<'t> {
    progress: &'t ProgressSink,
    backoff: Backoff,
    since: Option<Instant>,
}

impl<'t> Retry<'t> {
    pub(super) const fn new(progress: &'t ProgressSink) -> Self {
        Self { progress, backoff: BACKOFF, since: None }
    }

    /// The copy made progress: the next failure counts as the first.
    pub(super) const fn reset(&mut self) {
        self.backoff.reset();
        self.since = None;
    }

    /// Waits, when trying again may help.
    ///
    /// # Errors
    /// `error`, when it is permanent or the limit is passed.
    pub(super) async fn wait(&mut self, error: WorkplaceError) -> Result<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        if error.class() == Class::Permanent || since.elapsed() >= LIMIT {
            return Err(error);
        }
        let pause = self.pause(&error);
        let retry_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        let reason = ErrorChain(&error).to_string();
        self.progress.send(Progress::Paused { reason, retry_ms }).await;
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// Half of it random; no shorter than the error itself asks for.
    fn pause(&mut self, error: &WorkplaceError) -> Duration {
        let jittered = self.backoff.next_ceiling().mul_f64(0.5 + fastrand::f64() / 2.0);
        match error {
            WorkplaceError::LeftAlone { seconds, .. } => {
                jittered.max(Duration::from_secs(*seconds))
            }
            WorkplaceError::Exhausted(exhausted) => jittered.max(exhausted.retry_after),
            _ => jittered,
        }
    }
}

/// Repeats an idempotent attempt until it succeeds or fails for good.
///
/// # Errors
/// See [`Retry::wait`].
pub(super) async fn retried<'a, T>(
    progress: &ProgressSink,
    mut attempt: impl FnMut() -> BoxFuture<'a, Result<T>> + Send,
) -> Result<T> {
    let mut retry = Retry::new(progress);
    loop {
        match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) => retry.wait(error).await?,
        }
    }
}
