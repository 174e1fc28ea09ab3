//! Addresses that are refused before their key is checked.
//!
//! What stands here was counted in the database, or could not be counted there. Another worker
//! knows nothing of it, and finds the same in the database with the next key it is shown.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

/// The most addresses that are remembered. Where more fail at once, those that would be free again
/// soonest are forgotten: the database still knows them.
const MOST: usize = 1024;

/// Refused addresses, by which quota and until when.
#[derive(Debug, Default)]
pub(super) struct Blocked {
    until: HashMap<IpAddr, (usize, Instant)>,
}

impl Blocked {
    /// The quota that refuses an address, by its index, and for how long.
    pub(super) fn find(&self, address: IpAddr, now: Instant) -> Option<(usize, Duration)> {
        let &(policy, until) = self.until.get(&address)?;
        let left = until.checked_duration_since(now).filter(|left| !left.is_zero())?;
        Some((policy, left))
    }

    /// Refuses an address until then, or longer if it is already.
    pub(super) fn block(&mut self, address: IpAddr, policy: usize, now: Instant, until: Instant) {
        if self.until.len() >= MOST && !self.until.contains_key(&address) {
            self.make_room(now);
        }
        let entry = self.until.entry(address).or_insert((policy, until));
        if entry.1 < until {
            *entry = (policy, until);
        }
    }

    fn make_room(&mut self, now: Instant) {
        self.until.retain(|_, (_, until)| *until > now);
        if self.until.len() >= MOST {
            let soonest = self.until.iter().min_by_key(|(_, (_, until))| *until);
            let soonest = soonest.map(|(address, _)| *address);
            soonest.and_then(|address| self.until.remove(&address));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_refused_until_its_time_is_over() {
        let (mut blocked, now) = (Blocked::default(), Instant::now());
        let address = IpAddr::from([192, 0, 2, 1]);
        assert_eq!(blocked.find(address, now), None);
        let second = Duration::from_secs(1);
        blocked.block(address, 1, now, now + 3 * second);
        blocked.block(address, 0, now, now + second);
        assert_eq!(blocked.find(address, now + second), Some((1, 2 * second)));
        assert_eq!(blocked.find(address, now + 3 * second), None);
        assert_eq!(blocked.find(IpAddr::from([192, 0, 2, 2]), now), None);
    }

    #[test]
    fn no_more_are_remembered_than_there_is_room_for() {
        let (mut blocked, now) = (Blocked::default(), Instant::now());
        let address = |n: usize| IpAddr::from([10, 0, (n / 256) as u8, (n % 256) as u8]);
        for n in 0..3 * MOST {
            blocked.block(address(n), 0, now, now + Duration::from_secs(1 + n as u64));
            assert!(blocked.until.len() <= MOST);
        }
        assert_eq!(blocked.find(address(0), now), None, "the soonest is forgotten");
        assert!(blocked.find(address(3 * MOST - 1), now).is_some());
        let later = now + Duration::from_secs(10 * MOST as u64);
        blocked.block(address(0), 0, later, later + Duration::from_secs(1));
        assert_eq!(blocked.until.len(), 1, "what is over is forgotten first");
    }
}
