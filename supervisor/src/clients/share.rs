//! How much of the supervisor's time each user may take: a census of many descriptors is slow, and
//! commands of agents may ask for one.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::policy::Instant;

/// A user may take one part in so many of the supervisor's time.
const PART: u32 = 10;

/// What a user may take at once, before its next request waits.
const BURST: Duration = Duration::from_millis(10);

/// When each user has taken no more than its part again. A request is charged with the processor's
/// time that it took, once it is answered; the next one waits until that is a tenth of the time since,
/// but for a [`BURST`].
#[derive(Debug, Default)]
pub(super) struct Shares {
    /// Only of users who have not: no more than there were clients in the meantime.
    even_at: Vec<(Option<u32>, Instant)>,
}

impl Shares {
    /// When the user's next request may be answered; in the past for most.
    pub(super) fn due_at(&self, uid: Option<u32>) -> Instant {
        let own = self.even_at.iter().find(|(other, _)| *other == uid);
        own.map_or(Instant::ZERO, |(_, even_at)| even_at.saturating_sub(BURST * PART))
    }

    pub(super) fn charge(&mut self, uid: Option<u32>, cost: Duration, now: Instant) {
        self.even_at.retain(|(_, even_at)| *even_at > now);
        match self.even_at.iter_mut().find(|(other, _)| *other == uid) {
            Some((_, even_at)) => *even_at += cost * PART,
            None => self.even_at.push((uid, now + cost * PART)),
        }
    }
}

/// The processor's time that this thread has taken: what others take meanwhile is not charged.
pub(crate) fn thread_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn nobody_takes_more_than_a_part_for_long_and_others_wait_for_nobody() {
        let mut shares = Shares::default();
        let (greedy, other) = (Some(1), Some(2));
        let mut now = Duration::from_secs(5);
        let mut taken = Duration::ZERO;
        let end = now + Duration::from_secs(10);
        // Always one more request.
        while now < end {
            if shares.due_at(greedy) <= now {
                shares.charge(greedy, 3 * MS, now);
                taken += 3 * MS;
                now += 3 * MS;
            } else {
                now = shares.due_at(greedy);
            }
            assert!(shares.due_at(other) <= now);
        }
        let most = Duration::from_secs(10) / PART + BURST + 3 * MS;
        assert!(taken <= most && taken > most * 9 / 10, "{taken:?} of {most:?}");
    }

    #[test]
    fn a_pause_clears_a_user_and_the_list_stays_short() {
        let mut shares = Shares::default();
        for uid in 0..1000 {
            let now = Duration::from_secs(uid.into());
            shares.charge(Some(uid), 50 * MS, now);
            assert!(shares.due_at(Some(uid)) > now);
            assert_eq!(shares.even_at.len(), 1);
        }
        assert_eq!(shares.due_at(Some(1)), Instant::ZERO);
    }

    #[test]
    fn only_the_own_time_is_charged() {
        let begun = thread_time();
        std::thread::spawn(|| (0..3_000_000_u64).fold(0, u64::wrapping_add)).join().unwrap();
        let waited = thread_time() - begun;
        let begun = thread_time();
        std::hint::black_box((0..3_000_000_u64).fold(0, |a, b| std::hint::black_box(a ^ b)));
        assert!(thread_time() - begun > waited);
    }
}
