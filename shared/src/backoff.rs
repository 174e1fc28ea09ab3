//! Exponential backoff. Pure: the caller brings the randomness and does the waiting.

use std::time::Duration;

/// Delays whose ceiling doubles from `base` up to `cap`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    attempts: u32,
}

impl Backoff {
    /// No attempt yet. The first ceiling is `base`, or `cap` where that is less.
    pub const fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, attempts: 0 }
    }

    /// As [`Backoff::new`], after so many attempts: for a caller whose limits may change meanwhile.
    pub const fn resume(base: Duration, cap: Duration, attempts: u32) -> Self {
        Self { base, cap, attempts }
    }

    /// Counts an attempt; returns the ceiling of the delay after it.
    pub fn next_ceiling(&mut self) -> Duration {
        let factor = 2_u32.checked_pow(self.attempts).unwrap_or(u32::MAX);
        self.attempts = self.attempts.saturating_add(1);
        self.base.saturating_mul(factor).min(self.cap)
    }

    /// Counts an attempt; returns a delay with full jitter: `random`, from 0 to 1, of its ceiling.
    pub fn next_delay(&mut self, random: f64) -> Duration {
        self.next_ceiling().mul_f64(random.clamp(0.0, 1.0))
    }

    /// Attempts counted since the start or the last reset.
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Starts anew, after a success.
    pub const fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Duration = Duration::from_millis(100);
    const CAP: Duration = Duration::from_secs(1);

    #[test]
    fn ceilings_double_up_to_the_cap_and_begin_anew_after_a_reset() {
        let mut backoff = Backoff::new(BASE, CAP);
        let ceilings: Vec<_> = (0..6).map(|_| backoff.next_ceiling().as_millis()).collect();
        assert_eq!(ceilings, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(backoff.attempts(), 6);
        assert_eq!(Backoff::resume(BASE, CAP, 6), backoff);
        backoff.reset();
        assert_eq!(backoff.next_ceiling(), BASE);
    }

    #[test]
    fn a_delay_is_a_part_of_its_ceiling() {
        let mut backoff = Backoff::new(BASE, CAP);
        assert_eq!(backoff.next_delay(0.5), BASE / 2);
        assert_eq!(backoff.next_delay(0.5), BASE);
        assert_eq!(backoff.next_delay(7.0), BASE * 4);
        assert_eq!(backoff.next_delay(-1.0), Duration::ZERO);
    }

    #[test]
    fn no_number_of_attempts_overflows() {
        let mut backoff = Backoff::new(BASE, Duration::MAX);
        for _ in 0..100 {
            backoff.next_ceiling();
        }
        assert!(backoff.next_ceiling() >= BASE);
    }
}
