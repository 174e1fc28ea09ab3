//! Places for connections: every accepted connection has one, and may lose it while it waits.

mod table;

use std::{sync::Arc, time::Instant};

use evonic_domain::KeyId;
use evonic_shared::config;
use parking_lot::Mutex;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

pub(super) use self::table::{Activity, Class, NoPlace};
use self::table::{Origin, PlaceId, Sizes, Table};
use crate::{guard::Peer, limits::network, metrics::Metrics, proxies::Proxies};

/// The most permits that only refuse: an eighth of the budget, if that is less.
const MAX_REFUSING: usize = 8;

/// The places of a server. Shared by cloning. Holds no descriptor.
#[derive(Clone, Debug)]
pub(super) struct Places {
    table: Arc<Mutex<Table<CancellationToken>>>,
}

impl Places {
    /// Of a budget of so many connections. A part of them only ever refuses, so that a client of a
    /// full server gets an answer instead of waiting; of that part one is always left, with which
    /// the next connection is accepted.
    pub(super) fn new(budget: u32, settings: &config::Http) -> Self {
        let budget = budget as usize;
        let spare = MAX_REFUSING.min(budget / 8).max(2).min(budget.saturating_sub(1));
        let sizes = Sizes {
            serving: budget - spare,
            refusing: spare.saturating_sub(1).max(1),
            reserved_unix: settings.reserved_unix as usize,
            reserved_keys: settings.reserved_keys as usize,
            per_address: settings.max_connections_per_address as usize,
            per_key: settings.max_connections_per_key as usize,
        };
        Self { table: Arc::new(Mutex::new(Table::new(sizes))) }
    }

    /// The place of a connection that was accepted, and why it is refused, if it is.
    pub(super) fn admit(
        &self,
        peer: Peer,
        proxies: &Proxies,
        metrics: &Metrics,
    ) -> (Place, Option<NoPlace>) {
        let origin = match peer {
            Peer::Tcp(peer) if proxies.carries_many(peer.ip()) => Origin::Proxy,
            Peer::Tcp(peer) => Origin::Client(network(peer.ip())),
            _ => Origin::Unix,
        };
        let evicted = CancellationToken::new();
        let admission = self.table.lock().admit(origin, evicted.clone(), Instant::now());
        if let Some(other) = admission.evicted {
            other.cancel();
            if admission.refused.is_none() {
                metrics.evicted();
            }
        }
        (Place { places: self.clone(), id: admission.id, evicted }, admission.refused)
    }

    /// Ends connections of a key whose clients take nothing: nothing else would tell them.
    pub(super) fn evict_stalled(&self, key: &KeyId) {
        let stalled = self.table.lock().evict_stalled(key);
        stalled.iter().for_each(CancellationToken::cancel);
    }

    /// What the connections that are served do.
    #[cfg(test)]
    pub(super) fn activities(&self) -> Vec<Activity> {
        self.table.lock().activities()
    }

    /// How many connections of a class are served.
    pub(super) fn count(&self, class: Class) -> usize {
        self.table.lock().count(class)
    }
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    id: PlaceId,
    evicted: CancellationToken,
}

impl Place {
    /// Records what the connection does.
    pub(super) fn set(&self, activity: Activity) {
        self.places.table.lock().set(self.id, activity, Instant::now());
    }

    /// Why nothing may be begun for the connection: it was refused, or has lost its place. None
    /// where it is served, and of one that is busy it stays so.
    pub(super) fn refusal(&self) -> Option<NoPlace> {
        self.places.table.lock().refusal(self.id)
    }

    /// Records whose connection it is. With that, one that was refused may be served.
    ///
    /// # Errors
    /// [`NoPlace`], as with [`Place::refusal`]; [`NoPlace::Key`] when the key has as many as it may
    /// have.
    pub(super) fn identify(&self, key: &KeyId, metrics: &Metrics) -> Result<(), NoPlace> {
        let evicted = self.places.table.lock().identify(self.id, key, Instant::now())?;
        if let Some(other) = evicted {
            other.cancel();
            metrics.evicted();
        }
        Ok(())
    }

    /// Fires when the place went to another connection: this one ends.
    pub(super) fn evicted(&self) -> WaitForCancellationFuture<'_> {
        self.evicted.cancelled()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.table.lock().release(self.id);
    }
}
