//! When a worker's descriptors are counted next.
//!
//! A quarter of the time in which the growth would reach the nearest line, so that each count
//! leaves three quarters of the way and corrects the estimate of the one before; the last counts
//! before the line are `min_interval` apart. When flat, the count rides on the heartbeat.

use std::time::Duration;

use super::{Instant, Settings, growth::Growth};

/// The clock of one worker's counts.
#[derive(Debug)]
pub(super) struct Pace {
    due: Instant,
    rides: bool,
}

impl Pace {
    /// The first count is due a `max_interval` after the start.
    pub(super) fn new(now: Instant, settings: &Settings) -> Self {
        Self { due: now + longest(settings), rides: false }
    }

    /// When the next count is due.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// A count is asked for; `rides` when a heartbeat was the occasion.
    ///
    /// After a heartbeat the next one is waited for a little beyond `max_interval`, so that the
    /// pair wakes once and not twice; where it does not come, the pace is `max_interval` itself.
    pub(super) fn asked(&mut self, now: Instant, rides: bool, settings: &Settings) {
        self.rides = rides;
        self.due = self.leisure(now, settings);
    }

    /// A count came: `left` descriptors may still come before the nearest line is crossed.
    pub(super) fn counted(
        &mut self,
        now: Instant,
        growth: &Growth,
        left: Option<f64>,
        settings: &Settings,
    ) {
        let (shortest, longest) = (shortest(settings), longest(settings));
        let seconds = match (left, growth.trend()) {
            (Some(_), _) if growth.jumped() => 0.0,
            (Some(left), Some(trend)) => left.max(0.0) / trend.per_second / 4.0,
            _ => f64::INFINITY,
        };
        self.due = if seconds < longest.as_secs_f64() {
            now + Duration::from_secs_f64(seconds).max(shortest)
        } else {
            self.leisure(now, settings)
        };
    }

    /// The unexplained line was crossed for the first time at `since`: a second count decides,
    /// half a `min_interval` later.
    pub(super) fn confirm(&mut self, since: Instant, settings: &Settings) {
        self.due = since + shortest(settings) / 2;
    }

    fn leisure(&self, now: Instant, settings: &Settings) -> Instant {
        let longest = longest(settings);
        now + if self.rides { longest + longest / 8 } else { longest }
    }
}

/// `min_interval`, and never so short that the loop would do nothing else.
pub(super) fn shortest(settings: &Settings) -> Duration {
    settings.min_interval.max(Duration::from_millis(2))
}

fn longest(settings: &Settings) -> Duration {
    settings.max_interval.max(shortest(settings))
}
