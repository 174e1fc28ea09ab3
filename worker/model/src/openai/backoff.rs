//! The pauses between attempts.

use std::time::Duration;

use evonic_shared::backoff::Backoff;

/// The pauses between the attempts of one reply: exponential backoff with full jitter, unless the
/// endpoint asks for a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct RetryPauses {
    base: Duration,
    /// The longest pause of all, also where the endpoint asks for a longer one.
    cap: Duration,
    backoff: Backoff,
}

impl Default for RetryPauses {
    fn default() -> Self {
        Self::new(Duration::from_millis(500), Duration::from_secs(60))
    }
}

impl RetryPauses {
    pub(super) const fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, backoff: Backoff::new(base, cap) }
    }

    /// The pause after the next failed attempt. `random` is drawn evenly from 0 to 1. What the
    /// endpoint asked for is kept to, and spread a little, so that callers do not come back all at
    /// once.
    pub(super) fn next(&mut self, retry_after: Option<Duration>, random: f64) -> Duration {
        let delay = self.backoff.next_delay(random);
        match retry_after {
            Some(asked) => (asked + self.base.mul_f64(random)).min(self.cap),
            None => delay,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_pause_doubles_up_to_the_cap() {
        let mut pauses = RetryPauses::default();
        let longest: Vec<_> = (0..40).map(|_| pauses.next(None, 1.0).as_millis()).collect();
        assert_eq!(
            [1, 2, 3, 7, 8, 9, 40].map(|attempt: usize| longest[attempt - 1]),
            [500, 1000, 2000, 32000, 60000, 60000, 60000]
        );
        assert_eq!(RetryPauses::default().next(None, 0.0), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn a_pause_keeps_to_the_cap_and_to_what_was_asked(
            attempt in 1..200_u32, asked in proptest::option::of(0_u32..), random in 0.0..=1.0_f64,
        ) {
            let mut pauses = RetryPauses::default();
            let asked = asked.map(|seconds| Duration::from_secs(seconds.into()));
            let pause = (0..attempt).map(|_| pauses.next(asked, random)).last().unwrap_or_default();
            prop_assert!(pause <= pauses.cap);
            prop_assert!(pause >= asked.unwrap_or_default().min(pauses.cap));
        }
    }
}
