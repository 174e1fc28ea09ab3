//! Writes of a turn, retried until they are on disk.
//!
//! What a model said or a tool did is never thrown away because the disk was full for a minute:
//! the same write is tried again with growing pauses, and the model and the tool are not asked
//! again. It ends when the worker abandons its turns, or another worker owns this one.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use evonic_domain::Lease;
use evonic_shared::backoff::Backoff;
use evonic_store::{Reader, Store, StoreError, Writer};

/// Why a write of a turn was given up.
#[derive(Debug)]
pub(super) enum GaveUp {
    /// Another worker owns the turn.
    Fenced,
    /// This worker abandons its turns; this one stays its own until it is dead.
    Abandoned,
    /// The store fails in a way that waiting does not mend.
    Broken(StoreError),
}

/// The first pause between two attempts; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Attempts at what waiting may not mend. Whatever waiting does mend is tried without end.
const ATTEMPTS: u32 = 6;

/// Reads and writes one turn.
#[derive(Clone, Debug)]
pub(super) struct TurnWriter {
    store: Store,
    pub(super) lease: Lease,
    abandon: CancellationToken,
}

impl TurnWriter {
    /// A writer for the owner of this lease.
    pub(super) const fn new(store: Store, lease: Lease, abandon: CancellationToken) -> Self {
        Self { store, lease, abandon }
    }

    /// Commits `write`, which may run several times and does the same each time.
    pub(super) async fn commit<T, F>(&self, write: F) -> Result<T, GaveUp>
    where
        T: Send + 'static,
        F: Fn(&mut Writer<'_>, &Lease) -> Result<T, StoreError> + Send + Sync + 'static,
    {
        let write = Arc::new(write);
        let attempt = || {
            let (write, lease) = (Arc::clone(&write), self.lease.clone());
            self.store.write(move |writer| write(writer, &lease))
        };
        self.retry(attempt).await
    }

    /// Reads what the turn needs to continue.
    pub(super) async fn read<T, F>(&self, read: F) -> Result<T, GaveUp>
    where
        T: Send + 'static,
        F: Fn(&Reader<'_>, &Lease) -> Result<T, StoreError> + Send + Sync + 'static,
    {
        let read = Arc::new(read);
        let attempt = || {
            let (read, lease) = (Arc::clone(&read), self.lease.clone());
            self.store.read(move |reader| read(reader, &lease))
        };
        self.retry(attempt).await
    }

    async fn retry<T, F>(&self, attempt: impl Fn() -> F) -> Result<T, GaveUp>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut retry = Retry::new();
        loop {
            let error = match attempt().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let Some(pause) = retry.after(&error) else { return Err(error.into()) };
            self.log(&error, retry.backoff.attempts(), pause);
            tokio::select! {
                () = self.abandon.cancelled() => return Err(GaveUp::Abandoned),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

impl TurnWriter {
    /// What is wrong with the database is in the log already, once a minute.
    fn log(&self, error: &StoreError, attempt: u32, pause: Duration) {
        let (turn_id, retry_ms) = (self.lease.turn_id.as_str(), pause.as_millis());
        let source: &dyn std::error::Error = error;
        if error.state().is_some() {
            tracing::debug!(
                turn_id,
                error = source,
                attempt,
                retry_ms,
                "store refused; trying again"
            );
        } else {
            tracing::warn!(
                turn_id,
                error = source,
                attempt,
                retry_ms,
                "store refused; trying again"
            );
        }
    }
}

impl From<StoreError> for GaveUp {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Fenced => Self::Fenced,
            StoreError::Closed => Self::Abandoned,
            error => Self::Broken(error),
        }
    }
}

/// Attempts so far, and how long to wait before the next.
#[derive(Debug)]
struct Retry {
    backoff: Backoff,
    /// Attempts at what waiting may not mend.
    doubtful: u32,
}

impl Retry {
    const fn new() -> Self {
        Self { backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE), doubtful: 0 }
    }

    /// The pause before the next attempt; [`None`] when there is to be none.
    fn after(&mut self, error: &StoreError) -> Option<Duration> {
        match error {
            StoreError::Exhausted(_) | StoreError::Overloaded { .. } => {}
            // The database itself: what was said or done is kept until it is well again.
            error if error.state().is_some() => {}
            StoreError::Sql { .. } if self.doubtful + 1 < ATTEMPTS => self.doubtful += 1,
            _ => return None,
        }
        Some(self.backoff.next_ceiling())
    }
}

#[cfg(test)]
mod tests {
    use evonic_store::DatabaseError;

    use super::*;

    fn sql() -> StoreError {
        StoreError::Sql { operation: "test", source: DatabaseError::new("test") }
    }

    #[test]
    fn what_may_mend_is_tried_without_end() {
        let mut retry = Retry::new();
        let pauses: Vec<_> =
            (0..1000).map(|_| retry.after(&StoreError::Full).expect("an attempt")).collect();
        assert_eq!(pauses[0], FIRST_PAUSE);
        assert!(pauses.is_sorted() && pauses.last() == Some(&LONGEST_PAUSE), "{pauses:?}");
    }

    #[test]
    fn what_may_not_mend_is_tried_a_few_times() {
        let mut retry = Retry::new();
        for _ in 1..ATTEMPTS {
            assert!(retry.after(&sql()).is_some());
            assert!(retry.after(&StoreError::Full).is_some());
        }
        assert_eq!(retry.after(&sql()), None);
        assert!(matches!(sql().into(), GaveUp::Broken(_)));
    }

    #[test]
    fn the_rest_is_not_tried_again() {
        let gone = || StoreError::NotFound { what: "turn", id: "trn_0".to_owned() };
        for error in [StoreError::Fenced, StoreError::Closed, gone()] {
            assert_eq!(Retry::new().after(&error), None);
        }
        assert!(matches!(StoreError::Fenced.into(), GaveUp::Fenced));
        assert!(matches!(StoreError::Closed.into(), GaveUp::Abandoned));
        assert!(matches!(gone().into(), GaveUp::Broken(_)));
    }
}
