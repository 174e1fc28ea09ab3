//! Which addresses are this machine's: behind one of them any process may stand.

use std::{
    collections::HashMap,
    net::{IpAddr, UdpSocket},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// An answer counts for so long: addresses come and go.
const FRESH: Duration = Duration::from_secs(10);

/// The most answers that are remembered.
const MOST: usize = 256;

/// What was found of addresses that were asked for.
#[derive(Debug, Default)]
pub(super) struct OwnAddresses {
    known: Mutex<HashMap<IpAddr, (bool, Instant)>>,
}

impl OwnAddresses {
    /// Whether an address is this machine's: one can be bound to exactly those.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        if address.is_loopback() {
            return true;
        }
        let mut known = self.known.lock();
        if let Some((is_own, _)) = known.get(&address).filter(|(_, at)| at.elapsed() < FRESH) {
            return *is_own;
        }
        if known.len() >= MOST {
            known.clear();
        }
        // One descriptor for a moment, under the lock: never more than one, whoever asks.
        let is_own = UdpSocket::bind((address, 0)).is_ok();
        known.insert(address, (is_own, Instant::now()));
        is_own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine_are_told_from_others() {
        let own = OwnAddresses::default();
        // Without a packet, the kernel chooses the address that one to there would come from.
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        let outside = socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr());
        let mut mine: Vec<IpAddr> = vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
        mine.extend(outside.map(|address| address.ip()));
        for address in mine {
            assert!(own.contains(address), "{address}");
        }
        for text in ["192.0.2.7", "2001:db8::7"] {
            let address = text.parse().unwrap();
            for _ in 0..2 {
                assert!(!own.contains(address), "{address}");
            }
            assert!(own.known.lock().contains_key(&address));
        }
    }
}
