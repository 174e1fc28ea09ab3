//! What is tried again, how often, and after which pauses.

use std::time::{Duration, Instant};

use evonic_shared::{backoff::Backoff, config};
use tokio::time::sleep;

use evonic_backend::{Class, Result, WorkplaceError};

/// The shortest pause.
const MIN_PAUSE: Duration = Duration::from_millis(1);

/// No other try begins after so long: what fails slowly is not worth several of them.
const LIMIT: Duration = Duration::from_secs(60);

/// Tries of one operation: opening a connection, or an SFTP operation that may be done twice.
/// `ssh.retries` of them, with pauses from `ssh.backoff_base` to `ssh.backoff_cap`, for a minute.
pub(super) struct Retry {
    left: u32,
    backoff: Backoff,
    began: Instant,
}

impl Retry {
    pub(super) fn new(settings: &config::Ssh) -> Self {
        let backoff = Backoff::new(settings.backoff_base, settings.backoff_cap);
        Self { left: settings.retries, backoff, began: Instant::now() }
    }

    /// Pauses before another try.
    ///
    /// # Errors
    /// The error itself, when another try may not help or none is left. The breaker's pause is
    /// longer than any here.
    pub(super) async fn after(&mut self, error: WorkplaceError) -> Result<()> {
        let is_left_alone = matches!(error, WorkplaceError::LeftAlone { .. });
        let is_spent = self.left == 0 || self.began.elapsed() >= LIMIT;
        if error.class() == Class::Permanent || is_left_alone || is_spent {
            return Err(error);
        }
        self.left -= 1;
        sleep(self.backoff.next_delay(fastrand::f64()).max(MIN_PAUSE)).await;
        Ok(())
    }
}
