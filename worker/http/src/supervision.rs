//! What the supervisor reported, for the worker's metrics.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use evonic_shared::control::SupervisorMetrics;
use jiff::Timestamp;
use parking_lot::Mutex;

/// The latest report. Shared by cloning; readable from any thread.
#[derive(Clone, Debug, Default)]
pub struct Supervision {
    shared: Arc<Mutex<SupervisorReport>>,
}

#[derive(Clone, Debug, Default)]
pub struct SupervisorReport {
    /// None before the supervisor sent them.
    pub metrics: Option<SupervisorMetrics>,
    /// When the last heartbeat was sent, since the epoch.
    pub heartbeat_at: Option<Duration>,
}

impl Supervision {
    /// Keeps what the supervisor sent.
    pub fn update(&self, metrics: SupervisorMetrics) {
        self.shared.lock().metrics = Some(metrics);
    }

    /// Records that a heartbeat was sent now.
    pub fn heartbeat_sent(&self) {
        self.shared.lock().heartbeat_at = SystemTime::now().duration_since(UNIX_EPOCH).ok();
    }

    #[must_use]
    pub fn report(&self) -> SupervisorReport {
        self.shared.lock().clone()
    }
}

/// Seconds since the epoch of an RFC 3339 time.
#[must_use]
pub fn epoch_seconds(time: &str) -> Option<f64> {
    let since = time.parse::<Timestamp>().ok()?.duration_since(Timestamp::UNIX_EPOCH);
    Some(since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds() {
        assert_eq!(epoch_seconds("1970-01-01T00:01:30.250Z"), Some(90.25));
        assert_eq!(epoch_seconds("yesterday"), None);
    }
}
