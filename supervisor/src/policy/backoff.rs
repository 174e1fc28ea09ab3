//! Delays before restarts after crashes, and before replacements for early leaks: none after the
//! first failure, then exponential with full jitter.

use std::time::Duration;

use evonic_shared::{backoff::Backoff, config::Supervisor};

use super::{Instant, Settings};

/// Consecutive failures of one sort, and when the next start may be.
#[derive(Debug)]
pub(super) struct RestartBackoff {
    random: fastrand::Rng,
    pub(super) failures: u32,
    /// [`None`]: at any time.
    pub(super) next_start: Option<Instant>,
}

impl RestartBackoff {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), failures: 0, next_start: None }
    }

    pub(super) fn failed(&mut self, now: Instant, settings: &Settings) {
        self.failures = self.failures.saturating_add(1);
        self.next_start = Some(now + self.delay(settings));
    }

    /// Shortens the delay to end at `until`.
    pub(super) fn wait_at_most(&mut self, until: Instant) {
        self.next_start = self.next_start.map(|start| start.min(until));
    }

    /// Whether the consecutive failures make a loop.
    pub(super) fn is_loop(&self, settings: &Settings) -> bool {
        self.failures >= settings.supervisor.crash_loop_after.max(1)
    }

    /// None after the first failure; after the n-th a random part of `base * 2^(n-2)` or the cap.
    fn delay(&mut self, settings: &Settings) -> Duration {
        let Some(attempts) = self.failures.checked_sub(2) else { return Duration::ZERO };
        let Supervisor { backoff_base, backoff_cap, .. } = settings.supervisor;
        Backoff::resume(backoff_base, backoff_cap, attempts).next_delay(self.random.f64())
    }
}
