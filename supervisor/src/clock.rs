//! The event loop's monotonic clock.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::policy::Instant;

/// Time since the supervisor's start.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: std::time::Instant,
}

impl Clock {
    /// Starts at zero.
    pub fn start() -> Self {
        Self { start: std::time::Instant::now() }
    }

    pub fn now(&self) -> Instant {
        self.start.elapsed()
    }

    /// The wall clock's time of a moment that this clock knows.
    pub fn wall(&self, moment: Instant) -> SystemTime {
        let ago = self.now().saturating_sub(moment);
        SystemTime::now().checked_sub(ago).unwrap_or(UNIX_EPOCH)
    }
}
