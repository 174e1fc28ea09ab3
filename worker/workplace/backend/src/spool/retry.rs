//! How long a broken link is tried again.

use std::time::Duration;

use evonic_shared::backoff::Backoff;
use tokio::time::{Instant, sleep};

use crate::{Class, Result, WorkplaceError};

/// A machine from which nothing came for so long is out of reach: long enough for a host or an
/// engine to restart, short enough for the caller that waits.
const LIMIT: Duration = Duration::from_secs(120);

const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));

/// Growing pauses with full jitter, and their limit.
#[derive(Debug)]
pub(super) struct Retry {
    backoff: Backoff,
    since: Option<Instant>,
}

impl Retry {
    /// Nothing failed yet.
    pub(super) const fn new() -> Self {
        Self { backoff: BACKOFF, since: None }
    }

    /// Something came: the limit counts anew.
    pub(super) const fn reset(&mut self) {
        *self = Self::new();
    }

    /// Waits before the next attempt.
    ///
    /// # Errors
    /// `error`, when it is permanent or the limit is passed.
    pub(super) async fn wait(&mut self, error: WorkplaceError) -> Result<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        if error.class() == Class::Permanent || since.elapsed() >= LIMIT {
            return Err(error);
        }
        tracing::debug!(%error, "link to a machine broke; trying again");
        sleep(self.backoff.next_delay(fastrand::f64())).await;
        Ok(())
    }
}
