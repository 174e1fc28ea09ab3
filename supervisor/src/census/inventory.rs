//! Counts by kind and by target, and their growth.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use evonic_shared::{
    kind::Kind,
    status::{Census, Count, FORMAT},
};

/// Distinct targets that are counted separately.
const MAX_TARGETS: usize = 4096;

/// Targets that a census lists.
const MAX_TOP: usize = 20;

/// Where targets beyond [`MAX_TARGETS`] are counted.
const OTHERS: &str = "others";

/// Counts by name.
type Counts = BTreeMap<String, u32>;

/// The result of one pass: counts by kind and target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    kinds: BTreeMap<String, Counts>,
}

/// How the lines of a census are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The highest count first.
    Count,
    /// The highest growth first, then the highest count.
    Growth,
}

/// The worker and the time of a census.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// RFC 3339, UTC, milliseconds.
    pub at: String,
    pub generation: u64,
    pub pid: u32,
}

impl Inventory {
    pub(super) fn add(&mut self, kind: &str, target: &str, count: u32) {
        let distinct: usize = self.kinds.values().map(BTreeMap::len).sum();
        let targets = self.kinds.entry(kind.to_owned()).or_default();
        let known = targets.contains_key(target);
        let name = if known || distinct < MAX_TARGETS { target } else { OTHERS };
        let total = targets.entry(name.to_owned()).or_default();
        *total = total.saturating_add(count);
    }

    #[cfg(test)]
    pub(super) fn count(&self, kind: &str, target: &str) -> u32 {
        self.kinds.get(kind).and_then(|targets| targets.get(target)).copied().unwrap_or(0)
    }

    /// The census for a client or a file, with the growth since `ready`.
    pub fn census(&self, subject: Subject, ready: Option<&Inventory>, order: Order) -> Census {
        let kinds = lines(&self.kind_counts(), ready.map(Inventory::kind_counts).as_ref(), order);
        let mut top =
            lines(&self.target_counts(), ready.map(Inventory::target_counts).as_ref(), order);
        top.truncate(MAX_TOP);
        Census {
            format: FORMAT,
            at: subject.at,
            generation: subject.generation,
            pid: subject.pid,
            open: kinds.iter().fold(0, |sum, kind| sum.saturating_add(kind.count)),
            kinds,
            top,
        }
    }

    /// A sentence about the kind that grew most beyond the owned descriptors, and its top target.
    /// `owned` is the growth of the worker's owned descriptors since it was
    /// ready, by kind: load beside a leak must not be taken for it.
    pub fn culprit(&self, ready: Option<&Inventory>, owned: &BTreeMap<String, i64>) -> String {
        let Some(ready) = ready else {
            return "the worker was never ready: there is nothing to compare with".to_owned();
        };
        let mut kinds = lines(&self.kind_counts(), Some(&ready.kind_counts()), Order::Growth);
        let explained = explain(&kinds, owned);
        let of = |name: &str| explained.get(name).copied().unwrap_or(0);
        kinds.sort_by_key(|kind| Reverse(kind.growth - of(&kind.name)));
        let Some(kind) = kinds.first().filter(|kind| kind.growth > of(&kind.name)) else {
            return "no kind of descriptor grew beyond what the worker accounts for".to_owned();
        };
        let none = Counts::new();
        let targets = [self, ready].map(|it| it.kinds.get(&kind.name).unwrap_or(&none));
        let targets = lines(targets[0], Some(targets[1]), Order::Growth);
        let mut sentence = format!("{} grew by {} to {}", kind.name, kind.growth, kind.count);
        if of(&kind.name) > 0 {
            sentence.push_str(&format!(" ({} of it accounted for)", of(&kind.name)));
        }
        if let Some(top) = targets.first() {
            let Count { name, count, growth } = top;
            sentence.push_str(&format!("; most of it is {name} (+{growth} to {count})"));
        }
        sentence
    }

    fn kind_counts(&self) -> Counts {
        let sum = |targets: &Counts| targets.values().fold(0_u32, |sum, &n| sum.saturating_add(n));
        self.kinds.iter().map(|(name, targets)| (name.clone(), sum(targets))).collect()
    }

    /// A name in two kinds is one line.
    fn target_counts(&self) -> Counts {
        let mut all = Counts::new();
        for (name, count) in self.kinds.values().flatten() {
            *all.entry(name.clone()).or_default() += count;
        }
        all
    }
}

/// The census kinds of an owned kind's descriptors, most of them first.
const fn shows_as(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Http => &["tcp", "unix"],
        Kind::Sqlite | Kind::File => &["file"],
        Kind::Model | Kind::Outbound => &["tcp"],
        Kind::Child => &["pipe", "pidfd"],
        Kind::Ssh => &["tcp", "eventfd", "unix"],
        Kind::Docker => &["unix", "tcp"],
    }
}

/// How much of each census kind's growth the growth of owned descriptors explains.
fn explain(grown: &[Count], owned: &BTreeMap<String, i64>) -> BTreeMap<String, i64> {
    let mut explained = BTreeMap::new();
    for kind in Kind::ALL {
        let mut left = owned.get(kind.name()).copied().unwrap_or(0);
        for name in shows_as(kind) {
            let grown = grown.iter().find(|line| line.name == *name).map_or(0, |line| line.growth);
            let so_far = explained.entry((*name).to_owned()).or_insert(0);
            let part = left.clamp(0, (grown - *so_far).max(0));
            *so_far += part;
            left -= part;
        }
    }
    explained
}

fn lines(now: &Counts, ready: Option<&Counts>, order: Order) -> Vec<Count> {
    let names: BTreeSet<_> =
        [Some(now), ready].into_iter().flatten().flat_map(Counts::keys).collect();
    let count = |counts: &Counts, name: &String| counts.get(name).copied().unwrap_or(0);
    let line = |name: &String| {
        let growth = |ready| i64::from(count(now, name)) - i64::from(count(ready, name));
        Count { name: name.clone(), count: count(now, name), growth: ready.map_or(0, growth) }
    };
    let mut lines: Vec<Count> = names.into_iter().map(line).collect();
    match order {
        Order::Count => lines.sort_by_key(|line| (Reverse(line.count), Reverse(line.growth))),
        Order::Growth => lines.sort_by_key(|line| (Reverse(line.growth), Reverse(line.count))),
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inventory(entries: &[(&str, &str, u32)]) -> Inventory {
        let mut inventory = Inventory::default();
        for &(kind, target, count) in entries {
            inventory.add(kind, target, count);
        }
        inventory
    }

    fn subject() -> Subject {
        Subject { at: "1970-01-01T00:00:00.000Z".into(), generation: 7, pid: 70 }
    }

    fn names(lines: &[Count]) -> Vec<(&str, u32, i64)> {
        lines.iter().map(|line| (line.name.as_str(), line.count, line.growth)).collect()
    }

    #[test]
    fn sorted_by_count_or_by_growth() {
        let ready =
            inventory(&[("file", "/db", 9), ("tcp", "tcp 1.2.3.4:1", 2), ("pipe", "pipe", 3)]);
        let now =
            inventory(&[("file", "/db", 9), ("tcp", "tcp 1.2.3.4:1", 7), ("unix", "unix x", 1)]);
        let census = now.census(subject(), Some(&ready), Order::Count);
        assert_eq!(census.open, 17);
        assert_eq!(
            names(&census.kinds),
            [("file", 9, 0), ("tcp", 7, 5), ("unix", 1, 1), ("pipe", 0, -3)]
        );
        let census = now.census(subject(), Some(&ready), Order::Growth);
        assert_eq!(
            names(&census.top),
            [("tcp 1.2.3.4:1", 7, 5), ("unix x", 1, 1), ("/db", 9, 0), ("pipe", 0, -3)]
        );
        let alone = now.census(subject(), None, Order::Growth);
        assert!(alone.kinds.iter().all(|line| line.growth == 0));
    }

    #[test]
    fn the_culprit_is_what_grew_not_what_is_many() {
        let ready = inventory(&[("tcp", "tcp accepted on 1.1.1.1:1", 500), ("file", "/a", 1)]);
        let now = inventory(&[
            ("tcp", "tcp accepted on 1.1.1.1:1", 490),
            ("file", "/a", 3),
            ("file", "/a-wal", 80),
        ]);
        let none = BTreeMap::new();
        assert_eq!(
            now.culprit(Some(&ready), &none),
            "file grew by 82 to 83; most of it is /a-wal (+80 to 80)"
        );
        assert_eq!(
            ready.culprit(Some(&ready), &none),
            "no kind of descriptor grew beyond what the worker accounts for"
        );
        assert!(now.culprit(None, &none).contains("never ready"));
    }

    #[test]
    fn load_is_not_taken_for_the_leak() {
        let ready = inventory(&[("file", "/a", 1), ("unix", "unix x", 2)]);
        let now = inventory(&[
            ("tcp", "tcp accepted on 1.1.1.1:1", 128),
            ("unix", "unix x", 7),
            ("file", "/a", 11),
            ("file", "/leak", 60),
        ]);
        let owned = |http, sqlite| {
            BTreeMap::from([("http".to_owned(), http), ("sqlite".to_owned(), sqlite)])
        };
        assert_eq!(
            now.culprit(Some(&ready), &owned(133, 10)),
            "file grew by 70 to 71 (10 of it accounted for); most of it is /leak (+60 to 60)"
        );
        assert!(now.culprit(Some(&ready), &owned(0, 10)).starts_with("tcp grew by 128 to 128;"));
        assert!(now.culprit(Some(&ready), &owned(128, -5)).starts_with("file grew by 70"));
    }

    #[test]
    fn connections_of_workplaces_are_not_taken_for_the_leak() {
        let ready = inventory(&[("file", "/a", 1)]);
        let now = inventory(&[
            ("tcp", "tcp 10.0.0.1:22", 20),
            ("eventfd", "eventfd", 20),
            ("unix", "unix /run/docker.sock", 9),
            ("file", "/leak", 6),
        ]);
        let owned = BTreeMap::from([("ssh".to_owned(), 40), ("docker".to_owned(), 9)]);
        let culprit = now.culprit(Some(&ready), &owned);
        assert!(culprit.starts_with("file grew by 5 to 6;"), "{culprit}");
    }

    #[test]
    fn distinct_targets_are_bounded_and_nothing_is_lost() {
        let mut inventory = Inventory::default();
        for number in 0..MAX_TARGETS as u32 + 500 {
            inventory.add("file", &format!("/{number}"), 1);
        }
        inventory.add("file", "/0", 1);
        assert_eq!(inventory.count("file", OTHERS), 500);
        assert_eq!(inventory.count("file", "/0"), 2);
        let census = inventory.census(subject(), None, Order::Count);
        assert_eq!(census.open, MAX_TARGETS as u32 + 501);
        assert_eq!(census.top.len(), MAX_TOP);
        assert_eq!(census.top[0].name, OTHERS);
    }
}
