//! How long to wait before the next attempt.

use std::time::Duration;

/// Exponential backoff with full jitter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// The longest pause after the first attempt; it doubles with each.
    pub(super) base: Duration,
    /// The longest pause of all, also where the endpoint asks for a longer one.
    pub(super) cap: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { base: Duration::from_millis(500), cap: Duration::from_secs(60) }
    }
}

impl Pace {
    /// The pause after a failed attempt, counted from 1. `chance` is drawn evenly from 0 to 1. What
    /// the endpoint asked for is kept to, and spread a little, so that callers do not come back all
    /// at once.
    pub(super) fn pause(
        &self,
        attempt: u32,
        retry_after: Option<Duration>,
        chance: f64,
    ) -> Duration {
        let pause = match retry_after {
            Some(asked) => asked + self.base.mul_f64(chance),
            None => {
                let doubled = 2_u32.saturating_pow(attempt.saturating_sub(1));
                self.base.saturating_mul(doubled).min(self.cap).mul_f64(chance)
            }
        };
        pause.min(self.cap)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_pause_doubles_up_to_the_cap() {
        let longest = |attempt| Pace::default().pause(attempt, None, 1.0).as_millis();
        assert_eq!(
            [1, 2, 3, 7, 8, 9, 40].map(longest),
            [500, 1000, 2000, 32000, 60000, 60000, 60000]
        );
        assert_eq!(Pace::default().pause(3, None, 0.0), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn a_pause_keeps_to_the_cap_and_to_what_was_asked(
            attempt in 1..u32::MAX, asked in proptest::option::of(0_u32..), chance in 0.0..=1.0_f64,
        ) {
            let pace = Pace::default();
            let asked = asked.map(|seconds| Duration::from_secs(seconds.into()));
            let pause = pace.pause(attempt, asked, chance);
            prop_assert!(pause <= pace.cap);
            prop_assert!(pause >= asked.unwrap_or_default().min(pace.cap));
        }
    }
}
