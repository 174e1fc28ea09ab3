//! Writes of a turn, retried until they are on disk.
//!
//! What a model said or a tool did is never thrown away because the disk was full for a minute:
//! the same write is tried again with growing pauses, and the model and the tool are not asked
//! again. It ends when the worker abandons its turns, or another worker owns this one.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use evonic_domain::{Lease, SessionId};
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
    lease: Lease,
    abandon: CancellationToken,
}

impl TurnWriter {
    /// A turn_writer for the owner of this lease.
    pub(super) const fn new(store: Store, lease: Lease, abandon: CancellationToken) -> Self {
        Self { store, lease, abandon }
    }

    pub(super) const fn session(&self) -> &SessionId {
        &self.lease.session_id
    }

    /// Commits `write`, which may run several times and does the same each time.
    pub(super) async fn commit<T, F>(&self, write: F) -> Result<T, GaveUp>
    where
        T: Send + 'static,
        F: Fn(&mut Writer<'_>, &Lease) -> Result<T, StoreError> + Send + Sync + 'static,
    {
        let write = Arc::new(write);
        let mut retry = Retry::new();
        loop {
            let (write, lease) = (Arc::clone(&write), self.lease.clone());
            match self.store.write(move |writer| write(writer, &lease)).await {
                Ok(value) => return Ok(value),
                Err(error) => self.pause(&mut retry, error).await?,
            }
        }
    }

    /// Reads what the turn needs to go on.
    pub(super) async fn read<T, F>(&self, read: F) -> Result<T, GaveUp>
    where
        T: Send + 'static,
        F: Fn(&Reader<'_>, &Lease) -> Result<T, StoreError> + Send + Sync + 'static,
    {
        let read = Arc::new(read);
        let mut retry = Retry::new();
        loop {
            let (read, lease) = (Arc::clone(&read), self.lease.clone());
            match self.store.read(move |reader| read(reader, &lease)).await {
                Ok(value) => return Ok(value),
                Err(error) => self.pause(&mut retry, error).await?,
            }
        }
    }

    /// Waits before the next attempt, if there is to be one.
    async fn pause(&self, retry: &mut Retry, error: StoreError) -> Result<(), GaveUp> {
        let pause = match retry.after(&error) {
            Verdict::Again(pause) => pause,
            Verdict::Fenced => return Err(GaveUp::Fenced),
            Verdict::Closed => return Err(GaveUp::Abandoned),
            Verdict::Broken => return Err(GaveUp::Broken(error)),
        };
        tracing::warn!(
            turn_id = %self.lease.turn_id,
            error = &error as &dyn std::error::Error,
            attempt = retry.backoff.attempts(),
            retry_ms = pause.as_millis(),
            "store refused; trying again"
        );
        tokio::select! {
            () = self.abandon.cancelled() => Err(GaveUp::Abandoned),
            () = tokio::time::sleep(pause) => Ok(()),
        }
    }
}

/// What follows from an error of the store.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Again(Duration),
    Fenced,
    Closed,
    Broken,
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

    fn after(&mut self, error: &StoreError) -> Verdict {
        match error {
            StoreError::Fenced => return Verdict::Fenced,
            StoreError::Closed => return Verdict::Closed,
            StoreError::Exhausted(_)
            | StoreError::Overloaded { .. }
            | StoreError::Locked
            | StoreError::Full => {}
            StoreError::Sql { .. } => {
                self.doubtful += 1;
                if self.doubtful >= ATTEMPTS {
                    return Verdict::Broken;
                }
            }
            _ => return Verdict::Broken,
        }
        Verdict::Again(self.backoff.next_ceiling())
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
        let mut pauses = Vec::new();
        for _ in 0..1000 {
            match retry.after(&StoreError::Full) {
                Verdict::Again(pause) => pauses.push(pause),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(pauses[0], FIRST_PAUSE);
        assert!(pauses.is_sorted() && pauses.last() == Some(&LONGEST_PAUSE), "{pauses:?}");
    }

    #[test]
    fn what_may_not_mend_is_tried_a_few_times() {
        let mut retry = Retry::new();
        for _ in 1..ATTEMPTS {
            assert!(matches!(retry.after(&sql()), Verdict::Again(_)));
            assert!(matches!(retry.after(&StoreError::Full), Verdict::Again(_)));
        }
        assert_eq!(retry.after(&sql()), Verdict::Broken);
    }

    #[test]
    fn the_rest_is_not_tried_again() {
        assert_eq!(Retry::new().after(&StoreError::Fenced), Verdict::Fenced);
        assert_eq!(Retry::new().after(&StoreError::Closed), Verdict::Closed);
        let gone = StoreError::NotFound { what: "turn", id: "trn_0".to_owned() };
        assert_eq!(Retry::new().after(&gone), Verdict::Broken);
    }
}
