//! How long a broken link is mended.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{Class, WorkplaceError};

/// A machine from which nothing came for so long is out of reach: long enough for a host or an
/// engine to start anew, short enough for somebody who waits to be told.
const BOUND: Duration = Duration::from_secs(120);

/// The first pause.
const FIRST: Duration = Duration::from_millis(100);

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(5);

/// Exponential pauses with full jitter, and their bound.
#[derive(Debug)]
pub(super) struct Patience {
    pause: Duration,
    since: Option<Instant>,
}

impl Patience {
    /// Nothing failed yet.
    pub(super) const fn new() -> Self {
        Self { pause: FIRST, since: None }
    }

    /// Something came: the bound counts anew.
    pub(super) const fn renew(&mut self) {
        *self = Self::new();
    }

    /// Waits before the next attempt.
    ///
    /// # Errors
    /// The same error, when it is permanent or the bound is passed.
    pub(super) async fn after(&mut self, error: WorkplaceError) -> Result<(), WorkplaceError> {
        let since = *self.since.get_or_insert_with(Instant::now);
        if error.class() == Class::Permanent || since.elapsed() >= BOUND {
            return Err(error);
        }
        tracing::debug!(%error, "a link to a machine is mended");
        sleep(self.pause.mul_f64(fastrand::f64())).await;
        self.pause = (self.pause * 2).min(LONGEST);
        Ok(())
    }
}
