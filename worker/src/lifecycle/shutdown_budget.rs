//! How the time until SIGKILL is divided.

use std::time::Duration;

/// The parts of a drain, from its beginning on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ShutdownBudget {
    /// Turns and clients may take this long; then the store is closed.
    pub(super) drain: Duration,
    /// The watchdog ends what still lives then.
    pub(super) watchdog: Duration,
}

/// What the watchdog leaves to the supervisor's SIGKILL.
const BACKSTOP_MARGIN: Duration = Duration::from_secs(1);
/// What closing the store and the runtime may take.
const CLOSING: Duration = Duration::from_millis(500);

impl ShutdownBudget {
    /// Divides a grace period. A short one is divided in proportion.
    pub(super) fn of(grace: Duration) -> Self {
        let watchdog = grace - BACKSTOP_MARGIN.min(grace / 4);
        Self { drain: watchdog - CLOSING.min(watchdog / 4), watchdog }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_comes_before_the_next() {
        for millis in [0, 1, 100, 999, 1000, 2500, 10_000, 3_600_000] {
            let grace = Duration::from_millis(millis);
            let table = ShutdownBudget::of(grace);
            assert!(table.drain <= table.watchdog && table.watchdog <= grace, "{table:?}");
            assert!(table.drain >= grace / 2, "too little for the turns: {table:?}");
        }
    }

    #[test]
    fn the_usual_grace() {
        let table = ShutdownBudget::of(Duration::from_secs(10));
        assert_eq!(table.watchdog, Duration::from_secs(9));
        assert_eq!(table.drain, Duration::from_millis(8500));
    }
}
