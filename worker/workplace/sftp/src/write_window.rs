//! How much is written before the server confirms it: enough to keep the connection busy over any
//! distance, and no more, because all of it is sent again after a cut.

use std::time::Duration;

use tokio::time::Instant;

/// The smallest window: a few pieces.
const MIN_BYTES: u64 = 256 * 1024;

/// The largest window: enough for 40 MiB/s at a round trip of 100 ms.
const MAX_BYTES: u64 = 4 << 20;

/// The smallest piece: below it, the overhead of each request counts.
const MIN_PIECE_BYTES: u64 = 64 * 1024;

/// Confirmations between two adjustments.
const ROUND: u32 = 8;

/// The most bytes without a confirmation: one and a half times the bandwidth-delay product, which
/// is the measured rate times the shortest round trip.
#[derive(Debug)]
pub(super) struct WriteWindow {
    pub(super) bytes: u64,
    shortest: Option<Duration>,
    since: Option<Instant>,
    confirmed: u64,
    count: u32,
}

impl WriteWindow {
    /// Nothing is measured yet.
    pub(super) const fn new() -> Self {
        Self { bytes: MIN_BYTES, shortest: None, since: None, confirmed: 0, count: 0 }
    }

    /// The most bytes of one piece, of which the server takes `limit`: several fill the window.
    pub(super) fn piece(&self, limit: u32) -> u64 {
        (self.bytes / 4).max(MIN_PIECE_BYTES).min(u64::from(limit).max(1))
    }

    /// The server confirmed a piece that was sent at `sent`.
    pub(super) fn confirmed(&mut self, bytes: u64, sent: Instant, now: Instant) {
        let took = now.saturating_duration_since(sent);
        self.shortest = Some(self.shortest.map_or(took, |shortest| shortest.min(took)));
        let since = *self.since.get_or_insert(sent);
        self.confirmed += bytes;
        self.count += 1;
        if self.count < ROUND {
            return;
        }
        let elapsed = now.saturating_duration_since(since).as_micros().max(1);
        let shortest = self.shortest.unwrap_or_default().as_micros();
        let held = u128::from(self.confirmed) * shortest / elapsed;
        let wanted = u64::try_from(held * 3 / 2).unwrap_or(MAX_BYTES);
        self.bytes = wanted.clamp(MIN_BYTES, MAX_BYTES);
        (self.since, self.confirmed, self.count) = (Some(now), 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The window that a connection of this rate (bytes a second) and round trip ends with.
    fn settled(rate: u64, round_trip: Duration) -> u64 {
        let mut window = WriteWindow::new();
        let start = Instant::now();
        let mut free = start;
        let mut queue: std::collections::VecDeque<(u64, Instant, Instant)> = Default::default();
        let (mut now, mut under_way) = (start, 0);
        for _ in 0..2000 {
            let piece = window.piece(256 * 1024);
            while under_way + piece > window.bytes {
                let (bytes, sent, answered) = queue.pop_front().expect("something is under way");
                now = now.max(answered);
                window.confirmed(bytes, sent, now);
                under_way -= bytes;
            }
            free = free.max(now) + Duration::from_micros(piece * 1_000_000 / rate);
            queue.push_back((piece, now, free + round_trip));
            under_way += piece;
        }
        window.bytes
    }

    #[test]
    fn the_window_is_small_for_a_near_host_and_large_for_a_far_one() {
        let mib = 1 << 20;
        assert!(settled(200 * mib, Duration::from_micros(500)) <= 512 * 1024);
        let far = settled(100 * mib, Duration::from_millis(100));
        assert_eq!(far, MAX_BYTES, "it grows until nothing more helps");
        let slow = settled(mib, Duration::from_millis(20));
        assert!(slow <= 512 * 1024, "{slow}");
    }
}
