//! Who has to go where there is no place left.

use std::{
    collections::{HashMap, HashSet},
    time::Instant,
};

use evonic_domain::KeyId;

use super::{Class, Client, Entry, NoPlace, Origin, PlaceId, Sizes, Table};

impl<H> Table<H> {
    /// Who has to go for a connection that comes; nobody where a place is free.
    pub(super) fn room_for_newcomer(
        &self,
        origin: Origin,
        now: Instant,
    ) -> Result<Option<PlaceId>, NoPlace> {
        let (class, client) = match origin {
            Origin::Unix => (Class::Unix, Some(Client::Unix)),
            Origin::Client(address) => (Class::Anonymous, Some(Client::Address(address))),
            Origin::Proxy => (Class::Anonymous, None),
        };
        let is_its = |entry: &Entry<H>| entry.origin == origin;
        let bounded = matches!(origin, Origin::Client(_));
        if bounded && self.served.values().filter(|it| is_its(it)).count() >= self.sizes.per_address
        {
            let room = self.evict(class, client, is_its, now);
            return room.map(Some).ok_or(NoPlace::Address);
        }
        self.room(class, client, now)
    }

    /// Who has to go for one more connection of a key because that has as many as it may have.
    pub(super) fn room_of_key(
        &self,
        key: &KeyId,
        now: Instant,
    ) -> Result<Option<PlaceId>, NoPlace> {
        let others = || self.served.iter().filter(|(_, entry)| entry.key.as_ref() == Some(key));
        if others().count() < self.sizes.per_key {
            return Ok(None);
        }
        let may_go = others().filter(|(_, entry)| entry.may_go(now));
        let first = may_go.min_by_key(|(id, entry)| (entry.activity, entry.since, **id));
        first.map(|(id, _)| Some(*id)).ok_or(NoPlace::Key)
    }

    pub(super) fn room(
        &self,
        class: Class,
        client: Option<Client<'_>>,
        now: Instant,
    ) -> Result<Option<PlaceId>, NoPlace> {
        if Counts::of(self).fits(&self.sizes, class) {
            return Ok(None);
        }
        self.evict(class, client, |_| true, now).map(Some).ok_or(NoPlace::Full)
    }

    /// Whose place one more of this class takes, of this client, among some.
    fn evict(
        &self,
        class: Class,
        client: Option<Client<'_>>,
        among: impl Fn(&Entry<H>) -> bool,
        now: Instant,
    ) -> Option<PlaceId> {
        let (counts, greedy) = (Counts::of(self), self.greedy(class, client));
        let candidates = self.served.iter().filter(|(_, entry)| {
            let after = counts.without(entry.class());
            entry.may_go(now) && among(entry) && after.fits(&self.sizes, class)
        });
        let first = candidates.min_by_key(|(id, entry)| {
            let within_share = !entry.client().is_some_and(|client| greedy.contains(&client));
            (entry.class(), within_share, entry.activity, entry.since, **id)
        });
        first.map(|(id, _)| *id)
    }

    /// Clients that hold more than their share of the places of their class, that one included
    /// which comes.
    fn greedy<'a>(&'a self, class: Class, newcomer: Option<Client<'a>>) -> HashSet<Client<'a>> {
        let mut held: [HashMap<Client<'_>, usize>; Class::ALL.len()] = Default::default();
        let mut alone = [0; Class::ALL.len()];
        let clients = self.served.values().map(|entry| (entry.class(), entry.client()));
        for (class, client) in clients.chain([(class, newcomer)]) {
            match client {
                Some(client) => *held[class as usize].entry(client).or_default() += 1,
                None => alone[class as usize] += 1,
            }
        }
        let mut greedy = HashSet::new();
        for (held, alone) in held.iter().zip(alone) {
            let share = (held.values().sum::<usize>() + alone) / (held.len() + alone).max(1);
            let above = held.iter().filter(|(_, count)| **count > share);
            greedy.extend(above.map(|(client, _)| *client));
        }
        greedy
    }
}

/// How many places each class has.
#[derive(Clone, Copy, Debug)]
struct Counts {
    unix: usize,
    key: usize,
    anonymous: usize,
}

impl Counts {
    fn of<H>(table: &Table<H>) -> Self {
        let [anonymous, key, unix] = Class::ALL.map(|class| table.count(class));
        Self { unix, key, anonymous }
    }

    /// With one of this class less.
    fn without(mut self, class: Class) -> Self {
        let count = match class {
            Class::Unix => &mut self.unix,
            Class::Key => &mut self.key,
            Class::Anonymous => &mut self.anonymous,
        };
        *count = count.saturating_sub(1);
        self
    }

    /// Whether one more of this class leaves to others what is reserved for them.
    fn fits(&self, sizes: &Sizes, class: Class) -> bool {
        let unused = |reserved: usize, used: usize| reserved.saturating_sub(used);
        let for_others = match class {
            Class::Unix => unused(sizes.reserved_keys, self.key),
            Class::Anonymous | Class::Key => {
                unused(sizes.reserved_unix, self.unix)
                    + if class == Class::Key { 0 } else { unused(sizes.reserved_keys, self.key) }
            }
        };
        self.unix + self.key + self.anonymous + for_others < sizes.serving
    }
}
