//! Who holds the places for connections, and who gives one up when there is none left. Pure: time
//! is an argument, and a holder is told by the handle that it came with.
//!
//! ```text
//!        admit                        identify
//! TCP ----------> anonymous ----------------------------> key
//!      \--------> refused ---- identify, if it fits --------^
//! Unix socket --> unix
//! ```
//!
//! A place is taken while those that are left still cover what is reserved for others and not used
//! by them. Where none can be taken, one connection that waits for its client gives its own up.
//! Which one: first of those of clients that hold more than their share, so that a client within
//! its share loses nothing to another; then idle ones, then those whose request has not ended, then
//! those that take no answer; the oldest first. What is being answered is never cut.

mod room;

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    time::{Duration, Instant},
};

use evonic_domain::KeyId;
use evonic_shared::named;

/// Who takes no bytes for this long may lose its place.
pub(in crate::places) const SLOW: Duration = Duration::from_secs(1);

/// How many places there are, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Connections that are served.
    pub(crate) serving: usize,
    /// Connections that are only told that there is no place; at least one.
    pub(crate) refusing: usize,
    /// Of the serving, only for the Unix socket.
    pub(crate) reserved_unix: usize,
    /// Of the serving, only for those who showed a good key.
    pub(crate) reserved_keys: usize,
    /// Of one address.
    pub(crate) per_address: usize,
    /// Of one key.
    pub(crate) per_key: usize,
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Unix,
    /// A client: an address, or the network that counts as one.
    Client(IpAddr),
    /// A trusted proxy: its address stands for many clients.
    Proxy,
}

named! {
    /// For whom a place is.
    Class {
        /// Over TCP, and no good key was shown yet.
        Anonymous = "anonymous",
        /// Over TCP, with a good key.
        Key = "key",
        /// Over the Unix socket.
        Unix = "unix",
    }
}

/// What a connection does. In the order in which it gives its place up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Activity {
    /// Between two requests, or closing.
    Idle,
    /// Nothing has come yet.
    Fresh,
    /// A request has begun, and its headers have not ended.
    Begun,
    /// Its client takes no bytes of the answer.
    Stalled,
    /// A request is being answered.
    Busy,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// Every place is in use.
    Full,
    /// The address has as many as one may have.
    Address,
    /// The key has as many as one may have.
    Key,
}

/// Names a connection; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PlaceId(u64);

/// What became of a connection that came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Admission<H> {
    pub(crate) id: PlaceId,
    /// Why it is only answered that there is no place, unless it shows a key that has one; none
    /// where it is served.
    pub(crate) refused: Option<NoPlace>,
    /// Who has to go.
    pub(crate) evicted: Option<H>,
}

#[derive(Debug)]
struct Entry<H> {
    origin: Origin,
    key: Option<KeyId>,
    activity: Activity,
    since: Instant,
    handle: H,
}

impl<H> Entry<H> {
    fn class(&self) -> Class {
        match (&self.origin, &self.key) {
            (Origin::Unix, _) => Class::Unix,
            (_, Some(_)) => Class::Key,
            (_, None) => Class::Anonymous,
        }
    }

    fn may_go(&self, now: Instant) -> bool {
        match self.activity {
            Activity::Idle | Activity::Fresh | Activity::Begun => true,
            Activity::Stalled => now.saturating_duration_since(self.since) >= SLOW,
            Activity::Busy => false,
        }
    }

    /// Who shares a class with others; none where a connection stands for itself.
    fn client(&self) -> Option<Client<'_>> {
        match (&self.origin, &self.key) {
            (Origin::Unix, _) => Some(Client::Unix),
            (_, Some(key)) => Some(Client::Key(key)),
            (Origin::Client(address), None) => Some(Client::Address(*address)),
            (Origin::Proxy, None) => None,
        }
    }
}

#[derive(Debug)]
struct Refused<H> {
    id: PlaceId,
    origin: Origin,
    reason: NoPlace,
    handle: H,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Client<'a> {
    Unix,
    Key(&'a KeyId),
    Address(IpAddr),
}

/// The places of a server. `H` is how a holder is told that it has to go.
#[derive(Debug)]
pub(crate) struct Table<H> {
    sizes: Sizes,
    served: BTreeMap<PlaceId, Entry<H>>,
    refused: VecDeque<Refused<H>>,
    next: u64,
}

impl<H> Table<H> {
    pub(crate) const fn new(sizes: Sizes) -> Self {
        Self { sizes, served: BTreeMap::new(), refused: VecDeque::new(), next: 0 }
    }

    /// Gives a connection that was accepted its place; where there is none, a short one in which
    /// it is told so, and the oldest of those goes when they are too many.
    pub(crate) fn admit(&mut self, origin: Origin, handle: H, now: Instant) -> Admission<H> {
        self.next += 1;
        let id = PlaceId(self.next);
        match self.room_for_newcomer(origin, now) {
            Ok(victim) => {
                let evicted = victim.and_then(|victim| self.remove(victim));
                let entry =
                    Entry { origin, key: None, activity: Activity::Fresh, since: now, handle };
                self.served.insert(id, entry);
                Admission { id, refused: None, evicted }
            }
            Err(reason) => {
                self.refused.push_back(Refused { id, origin, reason, handle });
                let evicted = self.trim_refused().map(|other| other.handle);
                Admission { id, refused: Some(reason), evicted }
            }
        }
    }

    /// The oldest that is refused, when they are too many: one that has no hope, if there is one.
    fn trim_refused(&mut self) -> Option<Refused<H>> {
        if self.refused.len() <= self.sizes.refusing {
            return None;
        }
        let hopeless = self.refused.iter().position(|refused| refused.reason != NoPlace::Full);
        self.refused.remove(hopeless.unwrap_or_default())
    }

    /// Records what a connection does.
    pub(crate) fn set(&mut self, id: PlaceId, activity: Activity, now: Instant) {
        if let Some(entry) = self.served.get_mut(&id) {
            (entry.activity, entry.since) = (activity, now);
        }
    }

    /// Why a connection may not be served, if it may not. Asked after [`Table::set`] said that it
    /// is busy, the answer stays true.
    pub(crate) fn refusal(&self, id: PlaceId) -> Option<NoPlace> {
        if self.served.contains_key(&id) {
            return None;
        }
        let refused = self.refused.iter().find(|refused| refused.id == id);
        Some(refused.map_or(NoPlace::Full, |refused| refused.reason))
    }

    /// Records whose connection it is; the one over the Unix socket stays what it is. One that was
    /// refused because all is full is served from now on, if there is a place for keys. Returns who
    /// has to go for it.
    ///
    /// # Errors
    /// [`NoPlace`]: there is none for it, or [`NoPlace::Key`].
    pub(crate) fn identify(
        &mut self,
        id: PlaceId,
        key: &KeyId,
        now: Instant,
    ) -> Result<Option<H>, NoPlace> {
        let Some(entry) = self.served.get(&id) else { return self.promote(id, key, now) };
        if entry.origin == Origin::Unix || entry.key.as_ref() == Some(key) {
            return Ok(None);
        }
        let victim = self.room_of_key(key, now)?;
        let evicted = victim.and_then(|victim| self.remove(victim));
        if let Some(entry) = self.served.get_mut(&id) {
            entry.key = Some(key.clone());
        }
        Ok(evicted)
    }

    fn promote(&mut self, id: PlaceId, key: &KeyId, now: Instant) -> Result<Option<H>, NoPlace> {
        let position = self.refused.iter().position(|refused| refused.id == id);
        let refused = position.and_then(|position| self.refused.get(position));
        let reason = refused.map_or(NoPlace::Full, |refused| refused.reason);
        if reason != NoPlace::Full || refused.is_none_or(|it| it.origin == Origin::Unix) {
            return Err(reason);
        }
        let victim = match self.room_of_key(key, now)? {
            Some(victim) => Some(victim),
            None => self.room(Class::Key, Some(Client::Key(key)), now)?,
        };
        let evicted = victim.and_then(|victim| self.remove(victim));
        if let Some(refused) = position.and_then(|position| self.refused.remove(position)) {
            let Refused { origin, handle, .. } = refused;
            let (key, activity) = (Some(key.clone()), Activity::Busy);
            self.served.insert(id, Entry { origin, key, activity, since: now, handle });
        }
        Ok(evicted)
    }

    /// Takes the places of a key's connections that take no bytes.
    pub(crate) fn evict_stalled(&mut self, key: &KeyId) -> Vec<H> {
        let is_stalled = |entry: &Entry<H>| {
            entry.key.as_ref() == Some(key) && entry.activity == Activity::Stalled
        };
        let stalled = self.served.iter().filter(|(_, entry)| is_stalled(entry));
        let stalled: Vec<_> = stalled.map(|(id, _)| *id).collect();
        stalled.into_iter().filter_map(|id| self.remove(id)).collect()
    }

    /// The connection is gone.
    pub(crate) fn release(&mut self, id: PlaceId) {
        if self.served.remove(&id).is_none() {
            self.refused.retain(|refused| refused.id != id);
        }
    }

    #[cfg(test)]
    pub(crate) fn activities(&self) -> Vec<Activity> {
        self.served.values().map(|entry| entry.activity).collect()
    }

    /// How many places a class has.
    pub(crate) fn count(&self, class: Class) -> usize {
        self.served.values().filter(|entry| entry.class() == class).count()
    }

    fn remove(&mut self, id: PlaceId) -> Option<H> {
        self.served.remove(&id).map(|entry| entry.handle)
    }
}

#[cfg(test)]
mod tests;
