//! The pauses between two writes: whoever else uses the database has most of its time.

use std::time::Duration;

use evonic_store::{Store, StoreError, Writer};
use tokio::time::{Instant, sleep};

/// A write is followed by a pause of so many times its own time.
const FACTOR: u32 = 9;

/// And of no less than this.
const LEAST: Duration = Duration::from_millis(5);

/// And of no more.
const MOST: Duration = Duration::from_secs(2);

/// Writes, and then pauses for as long as that asks for: the slower the disk is and the more others
/// write, the longer.
pub(super) async fn write<T, F>(store: &Store, write: F) -> Result<T, StoreError>
where
    T: Send + 'static,
    F: FnOnce(&mut Writer<'_>) -> Result<T, StoreError> + Send + 'static,
{
    let began = Instant::now();
    let written = store.write(write).await;
    sleep(pause(began.elapsed())).await;
    written
}

fn pause(took: Duration) -> Duration {
    took.saturating_mul(FACTOR).clamp(LEAST, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_follows_the_time_of_a_write_within_bounds() {
        assert_eq!(pause(Duration::ZERO), LEAST);
        assert_eq!(pause(Duration::from_millis(10)), Duration::from_millis(90));
        assert_eq!(pause(Duration::from_secs(60)), MOST);
    }
}
