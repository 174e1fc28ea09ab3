//! What the table of places promises, whatever connections do.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const SIZES: Sizes = Sizes {
    serving: 12,
    refusing: 2,
    reserved_unix: 2,
    reserved_keys: 3,
    per_address: 6,
    per_key: 4,
};

fn client(last: u8) -> Origin {
    Origin::Client([192, 0, 2, last].into())
}

/// A table, its clock, and handles that name who came.
struct Harness {
    table: Table<usize>,
    now: Instant,
    came: usize,
    ids: BTreeMap<usize, PlaceId>,
}

impl Harness {
    fn new(sizes: Sizes) -> Self {
        let (table, now) = (Table::new(sizes), Instant::now());
        Self { table, now, came: 0, ids: BTreeMap::new() }
    }

    /// One comes, a moment after the last.
    fn admit(&mut self, origin: Origin) -> Admission<usize> {
        self.now += Duration::from_millis(1);
        let handle = self.came;
        self.came += 1;
        let admission = self.table.admit(origin, handle, self.now);
        self.ids.insert(handle, admission.id);
        admission
    }

    /// One comes and is served, in place of whom it returns.
    #[track_caller]
    fn served(&mut self, origin: Origin) -> Option<usize> {
        let admission = self.admit(origin);
        assert_eq!(admission.refused, None);
        admission.evicted
    }

    /// Returns whether it is served.
    fn set(&mut self, handle: usize, activity: Activity) -> bool {
        self.now += Duration::from_millis(1);
        self.table.set(self.ids[&handle], activity, self.now);
        self.table.refusal(self.ids[&handle]).is_none()
    }

    fn key(&mut self, handle: usize, key: &KeyId) -> Result<Option<usize>, NoPlace> {
        self.table.identify(self.ids[&handle], key, self.now)
    }
}

#[test]
fn idle_connections_of_one_address_shut_nobody_out() {
    let mut harness = Harness::new(Sizes { per_address: 100, ..SIZES });
    for handle in 0..7 {
        assert_eq!(harness.served(client(1)), None);
        assert!(harness.set(handle, Activity::Idle));
    }
    // What is left is reserved: its own oldest goes, whoever of its class comes.
    assert_eq!(harness.served(client(1)), Some(0));
    assert_eq!(harness.served(client(2)), Some(1));
    assert!(!harness.set(1, Activity::Busy), "its place is another's");
    assert_eq!(harness.served(Origin::Unix), None);
    assert_eq!(harness.served(Origin::Unix), None);
}

#[test]
fn what_is_idle_goes_before_what_has_begun_and_what_is_answered_stays() {
    let mut harness = Harness::new(Sizes { per_address: 100, ..SIZES });
    for _ in 0..7 {
        harness.served(client(1));
    }
    for (handle, activity) in
        [Activity::Busy, Activity::Stalled, Activity::Begun, Activity::Idle].iter().enumerate()
    {
        harness.set(handle, *activity);
    }
    for handle in 4..7 {
        harness.set(handle, Activity::Busy);
    }
    for expected in [3, 2] {
        assert_eq!(harness.served(client(1)), Some(expected));
        harness.set(harness.came - 1, Activity::Busy);
    }
    // It takes no bytes, but has not for long.
    let admission = harness.admit(client(2));
    assert_eq!((admission.refused, admission.evicted), (Some(NoPlace::Full), None));
    harness.now += SLOW;
    assert_eq!(harness.served(client(2)), Some(1));
    harness.set(harness.came - 1, Activity::Busy);
    assert_eq!(harness.admit(client(2)).refused, Some(NoPlace::Full));
}

#[test]
fn who_is_within_its_share_loses_nothing_to_who_is_not() {
    let mut harness = Harness::new(SIZES);
    // The oldest of all, and idle.
    assert_eq!(harness.served(client(2)), None);
    harness.set(0, Activity::Idle);
    for _ in 0..6 {
        assert_eq!(harness.served(client(1)), None);
    }
    for victim in 1..30 {
        assert_eq!(harness.served(client(1)), Some(victim));
    }
    assert!(harness.set(0, Activity::Busy));
}

#[test]
fn an_address_and_a_key_have_so_many() {
    let mut harness = Harness::new(SIZES);
    let key = KeyId::new();
    for handle in 0..6 {
        assert_eq!(harness.served(client(1)), None);
        harness.set(handle, Activity::Busy);
    }
    assert_eq!(harness.admit(client(1)).refused, Some(NoPlace::Address));
    for handle in 0..4 {
        assert_eq!(harness.key(handle, &key), Ok(None));
        assert_eq!(harness.key(handle, &key), Ok(None), "twice is once");
    }
    assert_eq!(harness.key(4, &key), Err(NoPlace::Key));
    harness.set(2, Activity::Idle);
    assert_eq!(harness.key(4, &key), Ok(Some(2)));
    // Another address of the key is no way around it, another key is.
    assert_eq!(harness.served(client(2)), None);
    let last = harness.came - 1;
    harness.set(last, Activity::Busy);
    assert_eq!(harness.key(last, &key), Err(NoPlace::Key));
    assert_eq!(harness.key(last, &KeyId::new()), Ok(None));
}

#[test]
fn a_proxy_carries_many_clients() {
    let mut harness = Harness::new(SIZES);
    for handle in 0..7 {
        assert_eq!(harness.served(Origin::Proxy), None);
        harness.set(handle, Activity::Busy);
    }
    assert_eq!(harness.admit(Origin::Proxy).refused, Some(NoPlace::Full));
}

#[test]
fn who_is_refused_makes_room_for_the_next_who_is() {
    let mut harness = Harness::new(SIZES);
    for handle in 0..6 {
        harness.served(client(1));
        harness.set(handle, Activity::Busy);
    }
    let evicted: Vec<_> = (0..4).map(|_| harness.admit(client(1)).evicted).collect();
    assert_eq!(evicted, [None, None, Some(6), Some(7)]);
    for handle in 6..10 {
        assert!(!harness.set(handle, Activity::Busy));
    }
    assert_eq!(harness.key(9, &KeyId::new()), Err(NoPlace::Address), "a key is no way around it");
    assert_eq!(harness.key(6, &KeyId::new()), Err(NoPlace::Full), "it is gone");
}

#[test]
fn where_all_is_full_a_key_has_a_place() {
    let mut harness = Harness::new(SIZES);
    for handle in 0..7 {
        harness.served(client(handle as u8));
        harness.set(handle, Activity::Busy);
    }
    let (one, other) = (KeyId::new(), KeyId::new());
    for handle in 7..12 {
        assert_eq!(harness.admit(client(handle as u8)).refused, Some(NoPlace::Full));
        let key = if handle % 2 == 0 { &one } else { &other };
        let expected = if handle < 10 { Ok(None) } else { Err(NoPlace::Full) };
        assert_eq!(harness.key(handle, key), expected, "{handle}");
        assert_eq!(harness.set(handle, Activity::Busy), expected.is_ok());
    }
    harness.set(8, Activity::Idle);
    assert_eq!(harness.key(11, &other), Ok(Some(8)));
    assert_eq!(harness.served(Origin::Unix), None);
    // The places of keys are lent to nobody, not even when they are free.
    harness.table.release(harness.ids[&7]);
    harness.table.release(harness.ids[&9]);
    harness.table.release(harness.ids[&11]);
    assert_eq!(harness.admit(client(20)).refused, Some(NoPlace::Full));
}

#[derive(Clone, Debug)]
enum Step {
    Admit(u8),
    Set(usize, Activity),
    Identify(usize, usize),
    Release(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let activity = prop_oneof![
        Just(Activity::Idle),
        Just(Activity::Fresh),
        Just(Activity::Begun),
        Just(Activity::Stalled),
        Just(Activity::Busy),
        Just(Activity::Busy),
    ];
    prop_oneof![
        6 => (0..6_u8).prop_map(Step::Admit),
        6 => (0..40_usize, activity).prop_map(|(which, activity)| Step::Set(which, activity)),
        3 => (0..40_usize, 0..3_usize).prop_map(|(which, key)| Step::Identify(which, key)),
        2 => (0..40_usize).prop_map(Step::Release),
        1 => (0..2_000_u64).prop_map(Step::Wait),
    ]
}

fn origin(number: u8) -> Origin {
    match number {
        0 => Origin::Unix,
        1 => Origin::Proxy,
        number => client(number),
    }
}

/// Bounds that hold at any time.
fn check(table: &Table<usize>) -> Result<(), TestCaseError> {
    let [anonymous, keys, unix] = Class::ALL.map(|class| table.count(class));
    prop_assert!(unix + keys + anonymous <= SIZES.serving);
    prop_assert!(table.refused.len() <= SIZES.refusing);
    let unused =
        SIZES.reserved_unix.saturating_sub(unix) + SIZES.reserved_keys.saturating_sub(keys);
    prop_assert!(unix + keys + anonymous + unused <= SIZES.serving, "{anonymous}, {keys}, {unix}");
    for entry in table.served.values() {
        let same = |other: &&Entry<usize>| other.origin == entry.origin;
        if matches!(entry.origin, Origin::Client(_)) {
            prop_assert!(table.served.values().filter(same).count() <= SIZES.per_address);
        }
        let same = |other: &&Entry<usize>| other.key == entry.key;
        if entry.key.is_some() {
            prop_assert!(table.served.values().filter(same).count() <= SIZES.per_key);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn bounds_hold_whatever_happens(steps in prop::collection::vec(step(), 0..200)) {
        let mut harness = Harness::new(SIZES);
        let keys: Vec<KeyId> = (0..3).map(|_| KeyId::new()).collect();
        for step in steps {
            match step {
                Step::Admit(number) => {
                    let busy = busy(&harness.table);
                    let admission = harness.admit(origin(number));
                    if let Some(evicted) = admission.evicted && admission.refused.is_none() {
                        prop_assert!(!busy.contains(&evicted), "what is answered was cut");
                    }
                    if admission.refused == Some(NoPlace::Full) {
                        let class = |e: &&Entry<usize>| match number {
                            0 => e.class() == Class::Unix,
                            _ => e.class() == Class::Anonymous,
                        };
                        let mut same = harness.table.served.values().filter(class);
                        prop_assert!(number > 0 || same.clone().count() >= SIZES.reserved_unix);
                        prop_assert!(!same.any(|e| e.may_go(harness.now)), "one that waits stays");
                    }
                }
                Step::Set(which, activity) if which < harness.came => {
                    harness.set(which, activity);
                }
                Step::Identify(which, key) if which < harness.came => {
                    let _ = harness.key(which, &keys[key]);
                }
                Step::Release(which) if which < harness.came => {
                    harness.table.release(harness.ids[&which]);
                }
                Step::Wait(milliseconds) => harness.now += Duration::from_millis(milliseconds),
                _ => {}
            }
            check(&harness.table)?;
        }
    }
}

fn busy(table: &Table<usize>) -> Vec<usize> {
    let busy = table.served.values().filter(|entry| entry.activity == Activity::Busy);
    busy.map(|entry| entry.handle).collect()
}
