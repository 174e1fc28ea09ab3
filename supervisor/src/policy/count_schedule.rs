//! When a worker's descriptors are counted next.
//!
//! After a quarter of the time in which the growth would reach the nearest limit: each count
//! corrects the estimate of the one before, and the last counts before the limit are
//! `min_interval` apart. When flat, the count rides on the heartbeat.

use std::time::Duration;

use super::{Instant, Settings, growth::Growth};

/// The next count of one worker.
#[derive(Debug)]
pub(super) struct CountSchedule {
    pub(super) due: Instant,
    rides: bool,
}

impl CountSchedule {
    /// The first count is due one `max_interval` after the start.
    pub(super) fn new(now: Instant, settings: &Settings) -> Self {
        Self { due: now + longest(settings), rides: false }
    }

    /// A count is requested; `rides` when a heartbeat caused it.
    ///
    /// After a heartbeat the next one is awaited a little beyond `max_interval`, so that the pair
    /// wakes once and not twice. Without heartbeats the interval is `max_interval` itself.
    pub(super) fn requested(&mut self, now: Instant, rides: bool, settings: &Settings) {
        self.rides = rides;
        self.due = self.unhurried(now, settings);
    }

    /// A count came: `left` more descriptors reach the nearest limit.
    pub(super) fn counted(
        &mut self,
        now: Instant,
        growth: &Growth,
        left: Option<f64>,
        settings: &Settings,
    ) {
        let (shortest, longest) = (shortest(settings), longest(settings));
        let seconds = match (left, growth.trend) {
            (Some(_), _) if growth.jumped => 0.0,
            (Some(left), Some(trend)) => left.max(0.0) / trend.per_second / 4.0,
            _ => f64::INFINITY,
        };
        self.due = if seconds < longest.as_secs_f64() {
            now + Duration::from_secs_f64(seconds).max(shortest)
        } else {
            self.unhurried(now, settings)
        };
    }

    /// The unexplained limit was first passed at `since`: a second count, half a `min_interval`
    /// later, decides.
    pub(super) fn confirm(&mut self, since: Instant, settings: &Settings) {
        self.due = since + shortest(settings) / 2;
    }

    fn unhurried(&self, now: Instant, settings: &Settings) -> Instant {
        let longest = longest(settings);
        now + if self.rides { longest + longest / 8 } else { longest }
    }
}

/// `min_interval`, bounded so that the loop can do other work.
pub(super) fn shortest(settings: &Settings) -> Duration {
    settings.fd.min_interval.max(Duration::from_millis(2))
}

fn longest(settings: &Settings) -> Duration {
    settings.fd.max_interval.max(shortest(settings))
}
