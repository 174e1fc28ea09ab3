//! The pauses between attempts.

use std::time::Duration;

use evonic_shared::backoff::Backoff;

/// The pauses between the attempts of one reply: exponential backoff with full jitter, unless the
/// endpoint asks for a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct RetryPauses {
    base: Duration,
    backoff: Backoff,
}

impl RetryPauses {
    /// After so many attempts.
    pub(super) const fn new(base: Duration, cap: Duration, attempts: u32) -> Self {
        Self { base, backoff: Backoff::resume(base, cap, attempts) }
    }

    /// The pause after the next failed attempt. `random` is drawn evenly from 0 to 1. What the
    /// endpoint asked for is kept to, and spread a little, so that callers do not come back all at
    /// once.
    pub(super) fn next(&mut self, asked: Option<Duration>, random: f64) -> Duration {
        let delay = self.backoff.next_delay(random);
        match asked {
            Some(asked) => asked.saturating_add(self.base.mul_f64(random)),
            None => delay,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BASE: Duration = Duration::from_millis(500);
    const CAP: Duration = Duration::from_secs(60);

    #[test]
    fn a_pause_doubles_up_to_the_cap_also_over_workers() {
        let mut pauses = RetryPauses::new(BASE, CAP, 0);
        let longest: Vec<_> = (0..40).map(|_| pauses.next(None, 1.0).as_millis()).collect();
        assert_eq!(
            [1, 2, 3, 7, 8, 9, 40].map(|attempt: usize| longest[attempt - 1]),
            [500, 1000, 2000, 32000, 60000, 60000, 60000]
        );
        assert_eq!(RetryPauses::new(BASE, CAP, 6).next(None, 1.0).as_millis(), 32000);
        assert_eq!(RetryPauses::new(BASE, CAP, 0).next(None, 0.0), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn a_pause_keeps_to_the_cap_and_to_what_was_asked(
            attempts in 0..200_u32, asked in proptest::option::of(0_u32..), random in 0.0..=1.0_f64,
        ) {
            let asked = asked.map(|seconds| Duration::from_secs(seconds.into()));
            let pause = RetryPauses::new(BASE, CAP, attempts).next(asked, random);
            prop_assert!(pause >= asked.unwrap_or_default());
            prop_assert!(pause <= asked.map_or(CAP, |asked| asked + BASE));
        }
    }
}
