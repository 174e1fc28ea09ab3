//! What is tried again, how often, and after which pauses.

use std::time::Duration;

use evonic_shared::{backoff::Backoff, config};
use tokio::time::sleep;

use evonic_backend::{Class, Result, WorkplaceError};

/// The shortest pause.
const MIN_PAUSE: Duration = Duration::from_millis(1);

/// Tries of one operation: opening a connection, or an SFTP operation that may be done twice.
/// `ssh.retries` of them, with pauses from `ssh.backoff_base` to `ssh.backoff_cap`.
pub(super) struct Retry {
    left: u32,
    backoff: Backoff,
}

impl Retry {
    pub(super) fn new(settings: &config::Ssh) -> Self {
        let backoff = Backoff::new(settings.backoff_base, settings.backoff_cap);
        Self { left: settings.retries, backoff }
    }

    /// Pauses before another try.
    ///
    /// # Errors
    /// The error itself, when another try may not help or none is left. The breaker's pause is
    /// longer than any here.
    pub(super) async fn after(&mut self, error: WorkplaceError) -> Result<()> {
        let is_left_alone = matches!(error, WorkplaceError::LeftAlone { .. });
        if error.class() == Class::Permanent || is_left_alone || self.left == 0 {
            return Err(error);
        }
        self.left -= 1;
        sleep(self.backoff.next_delay(fastrand::f64()).max(MIN_PAUSE)).await;
        Ok(())
    }
}
