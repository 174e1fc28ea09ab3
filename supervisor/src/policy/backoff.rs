//! The pace of restarts after crashes, and of replacements for leaks that come soon: the first at
//! once, then exponential with full jitter.

use std::time::Duration;

use super::{Instant, Settings};

/// Failures of one sort in a row, and when the next start may be.
#[derive(Debug)]
pub(super) struct Backoff {
    random: fastrand::Rng,
    failures: u32,
    next_start: Option<Instant>,
}

impl Backoff {
    /// No failure yet.
    pub(super) fn new(seed: u64) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), failures: 0, next_start: None }
    }

    /// A worker failed.
    pub(super) fn failed(&mut self, now: Instant, settings: &Settings) {
        self.failures = self.failures.saturating_add(1);
        self.next_start = Some(now + self.delay(settings));
    }

    /// A worker lived long enough to end the row.
    pub(super) fn calm(&mut self) {
        self.failures = 0;
    }

    /// The next start need not wait: an operator asked for it.
    pub(super) fn hurry(&mut self) {
        self.next_start = None;
    }

    /// The next start waits no longer than until then.
    pub(super) fn wait_at_most(&mut self, until: Instant) {
        self.next_start = self.next_start.map(|start| start.min(until));
    }

    /// A start is made.
    pub(super) fn started(&mut self) {
        self.next_start = None;
    }

    /// When the next start may be; [`None`]: at any time.
    pub(super) fn next_start(&self) -> Option<Instant> {
        self.next_start
    }

    /// Whether so many failed in a row that it is a loop.
    pub(super) fn is_loop(&self, settings: &Settings) -> bool {
        self.failures >= settings.crash_loop_after.max(1)
    }

    /// Nothing after the first failure; after the n-th anything up to `base * 2^(n-2)` or the cap.
    fn delay(&mut self, settings: &Settings) -> Duration {
        let Some(doublings) = self.failures.checked_sub(2) else { return Duration::ZERO };
        let factor = 2_u32.checked_pow(doublings).unwrap_or(u32::MAX);
        let most = settings.backoff_base.saturating_mul(factor).min(settings.backoff_cap);
        most.mul_f64(self.random.f64())
    }
}
