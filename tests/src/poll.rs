//! Waits with a deadline and the last state in the failure message.

use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Looks until `found` returns something; panics at the deadline with `what` and the last state.
///
/// # Panics
/// At the deadline.
pub fn until<S: Debug, T>(
    what: &str,
    deadline: Duration,
    mut look: impl FnMut() -> S,
    mut found: impl FnMut(&S) -> Option<T>,
) -> T {
    let began = Instant::now();
    loop {
        let state = look();
        if let Some(result) = found(&state) {
            return result;
        }
        assert!(began.elapsed() < deadline, "not within {deadline:?}: {what}; last: {state:#?}");
        std::thread::sleep(PAUSE);
    }
}
