//! The pace of restarts after crashes: the first at once, then exponential with full jitter.

use std::time::Duration;

use super::{Instant, Settings};

/// Crashes in a row, and when the next start may be.
#[derive(Debug)]
pub(super) struct Backoff {
    random: fastrand::Rng,
    crashes: u32,
    next_start: Option<Instant>,
}

impl Backoff {
    /// No crash yet.
    pub(super) fn new(seed: u64) -> Self {
        Self { random: fastrand::Rng::with_seed(seed), crashes: 0, next_start: None }
    }

    /// A worker crashed.
    pub(super) fn crashed(&mut self, now: Instant, settings: &Settings) {
        self.crashes = self.crashes.saturating_add(1);
        self.next_start = Some(now + self.delay(settings));
    }

    /// A worker lived long enough to end the row.
    pub(super) fn calm(&mut self) {
        self.crashes = 0;
    }

    /// The next start need not wait: an operator asked for it.
    pub(super) fn hurry(&mut self) {
        self.next_start = None;
    }

    /// A start is made.
    pub(super) fn started(&mut self) {
        self.next_start = None;
    }

    /// When the next start may be; [`None`]: at any time.
    pub(super) fn next_start(&self) -> Option<Instant> {
        self.next_start
    }

    /// Whether so many crashed in a row that it is a crash loop.
    pub(super) fn is_loop(&self, settings: &Settings) -> bool {
        self.crashes >= settings.crash_loop_after.max(1)
    }

    /// Nothing after the first crash; after the n-th anything up to `base * 2^(n-2)` or the cap.
    fn delay(&mut self, settings: &Settings) -> Duration {
        let Some(doublings) = self.crashes.checked_sub(2) else { return Duration::ZERO };
        let factor = 2_u32.checked_pow(doublings).unwrap_or(u32::MAX);
        let most = settings.backoff_base.saturating_mul(factor).min(settings.backoff_cap);
        most.mul_f64(self.random.f64())
    }
}
