//! How much is written before the server says that it has it: enough to keep the line busy over any
//! distance, and no more, because all of it is sent again when the line is cut.

use std::time::Duration;

use tokio::time::Instant;

/// The least: a few pieces.
const LEAST: u64 = 256 * 1024;

/// The most: enough for 40 MiB a second over 100 ms.
const MOST: u64 = 4 << 20;

/// The smallest piece: below it, what goes with each piece costs.
const SMALLEST_PIECE: u64 = 64 * 1024;

/// Confirmations after which it is thought about anew.
const ROUND: u32 = 8;

/// What is under way at the most: one and a half times what the line holds, which is its rate times
/// its shortest round trip.
#[derive(Debug)]
pub(super) struct Behind {
    /// Bytes.
    pub(super) bytes: u64,
    shortest: Option<Duration>,
    since: Option<Instant>,
    confirmed: u64,
    count: u32,
}

impl Behind {
    /// Nothing is known of the line yet.
    pub(super) const fn new() -> Self {
        Self { bytes: LEAST, shortest: None, since: None, confirmed: 0, count: 0 }
    }

    /// The most bytes of one piece, of which the server takes `limit`: several go into what may be
    /// under way.
    pub(super) fn piece(&self, limit: u32) -> u64 {
        (self.bytes / 4).max(SMALLEST_PIECE).min(u64::from(limit).max(1))
    }

    /// The server has a piece that was sent then.
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
        let wanted = u64::try_from(held * 3 / 2).unwrap_or(MOST);
        self.bytes = wanted.clamp(LEAST, MOST);
        (self.since, self.confirmed, self.count) = (Some(now), 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line of this rate (bytes a second) and round trip; what is under way in the end.
    fn settled(rate: u64, round_trip: Duration) -> u64 {
        let mut behind = Behind::new();
        let start = Instant::now();
        let mut free = start;
        let mut queue: std::collections::VecDeque<(u64, Instant, Instant)> = Default::default();
        let (mut now, mut under_way) = (start, 0);
        for _ in 0..2000 {
            let piece = behind.piece(256 * 1024);
            while under_way + piece > behind.bytes {
                let (bytes, sent, answered) = queue.pop_front().expect("something is under way");
                now = now.max(answered);
                behind.confirmed(bytes, sent, now);
                under_way -= bytes;
            }
            free = free.max(now) + Duration::from_micros(piece * 1_000_000 / rate);
            queue.push_back((piece, now, free + round_trip));
            under_way += piece;
        }
        behind.bytes
    }

    #[test]
    fn a_near_host_has_little_under_way_and_a_far_one_much() {
        let mib = 1 << 20;
        assert!(settled(200 * mib, Duration::from_micros(500)) <= 512 * 1024);
        let far = settled(100 * mib, Duration::from_millis(100));
        assert_eq!(far, MOST, "it grows until nothing more helps");
        let slow = settled(mib, Duration::from_millis(20));
        assert!(slow <= 512 * 1024, "{slow}");
    }
}
