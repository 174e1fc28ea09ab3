//! What the supervisor told of itself, for the worker's metrics.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use evonic_shared::control::SupervisorMetrics;
use jiff::Timestamp;

/// The last word of the supervisor. Shared by cloning; readable from any thread.
#[derive(Clone, Debug, Default)]
pub struct Supervision {
    shared: Arc<Mutex<Heard>>,
}

/// What was heard, and said.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// The supervisor's figures; none before it told them.
    pub figures: Option<SupervisorMetrics>,
    /// When the last heartbeat was sent, since the epoch.
    pub heartbeat_at: Option<Duration>,
}

impl Supervision {
    /// Takes over what the supervisor says.
    pub fn hear(&self, figures: SupervisorMetrics) {
        self.with(|heard| heard.figures = Some(figures));
    }

    /// Notes that a heartbeat was sent now.
    pub fn beat(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok();
        self.with(|heard| heard.heartbeat_at = now);
    }

    /// What is known now.
    #[must_use]
    pub fn heard(&self) -> Heard {
        self.with(|heard| heard.clone())
    }

    fn with<T>(&self, act: impl FnOnce(&mut Heard) -> T) -> T {
        act(&mut self.shared.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Seconds since the epoch of a time as the supervisor writes it.
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
