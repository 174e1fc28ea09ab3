//! What is asked of the limiter, and what it answers.

use std::time::Duration;

use evonic_shared::config::Quota;

/// One quota of one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meter {
    /// Who is counted: the kind and the name, such as `address 192.0.2.1`. Quotas of one subject
    /// differ in their windows.
    pub subject: String,
    /// How much is allowed.
    pub quota: Quota,
    /// What the request costs.
    pub charge: Charge,
}

/// What a request costs a meter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charge {
    /// One, if every meter has room for it.
    One,
    /// Nothing; but a meter without room for one more refuses the request.
    Check,
}

/// A meter after a request. One that was only checked, and refused nothing, is shown as if it were
/// free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// How many more requests have room now.
    pub remaining: u32,
    /// How long until one more has; none when the whole quota is free.
    pub refill: Option<Duration>,
    /// Whether it was this meter that refused the request.
    pub refused: bool,
}

/// Nanoseconds of a second.
const SECOND: i64 = 1_000_000_000;

impl Meter {
    /// The window, in nanoseconds.
    pub(super) fn span(&self) -> i64 {
        i64::from(self.quota.seconds()) * SECOND
    }

    /// The time in which one request of the quota comes free, in nanoseconds.
    pub(super) fn step(&self) -> i64 {
        self.span() / i64::from(self.quota.requests())
    }

    /// What the request adds, in nanoseconds.
    pub(super) fn cost(&self) -> i64 {
        match self.charge {
            Charge::One => self.step(),
            Charge::Check => 0,
        }
    }

    /// The level of a meter whose debt is paid off in so many nanoseconds.
    pub(super) fn level(&self, debt: i64, granted: bool) -> Level {
        let (span, step) = (self.span(), self.step());
        let free = (span - debt).div_euclid(step).clamp(0, i64::from(self.quota.requests()));
        let missing = debt + (free + 1) * step - span;
        Level {
            remaining: u32::try_from(free).unwrap_or(0),
            refill: (debt > 0 && missing > 0).then(|| Duration::from_nanos(missing.unsigned_abs())),
            refused: !granted && free == 0,
        }
    }
}
