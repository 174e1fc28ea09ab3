//! How the time until SIGKILL is divided.

use std::time::Duration;

/// The parts of a drain, from its beginning on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timetable {
    /// Turns and clients may take this long; then the store is closed.
    pub(super) patience: Duration,
    /// The backstop ends what still lives then.
    pub(super) backstop: Duration,
}

/// What the backstop leaves to the supervisor's SIGKILL.
const BACKSTOP_MARGIN: Duration = Duration::from_secs(1);
/// What closing the store and the runtime may take.
const CLOSING: Duration = Duration::from_millis(500);

impl Timetable {
    /// Divides a grace period. A short one is divided in proportion.
    pub(super) fn of(grace: Duration) -> Self {
        let backstop = grace - BACKSTOP_MARGIN.min(grace / 4);
        Self { patience: backstop - CLOSING.min(backstop / 4), backstop }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_comes_before_the_next() {
        for millis in [0, 1, 100, 999, 1000, 2500, 10_000, 3_600_000] {
            let grace = Duration::from_millis(millis);
            let table = Timetable::of(grace);
            assert!(table.patience <= table.backstop && table.backstop <= grace, "{table:?}");
            assert!(table.patience >= grace / 2, "too little for the turns: {table:?}");
        }
    }

    #[test]
    fn the_usual_grace() {
        let table = Timetable::of(Duration::from_secs(10));
        assert_eq!(table.backstop, Duration::from_secs(9));
        assert_eq!(table.patience, Duration::from_millis(8500));
    }
}
