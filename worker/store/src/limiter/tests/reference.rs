//! The statement against a plain account of the same algorithm, on a clock that the test moves.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::limiter::levels::SCHEMA;

/// 2026, in nanoseconds.
const BEGINNING: i64 = 1_767_225_600_000_000_000;

const SECOND: i64 = 1_000_000_000;

/// The plain account: when each meter is paid off.
#[derive(Default)]
struct Reference {
    paid_at: HashMap<(String, u32), i128>,
}

impl Reference {
    fn count(&mut self, meters: &[Meter], now: i64) -> Vec<(u32, bool)> {
        let now = i128::from(now);
        let windows: Vec<_> = meters
            .iter()
            .map(|meter| {
                let window = i128::from(meter.quota.seconds()) * i128::from(SECOND);
                let key = (meter.subject.clone(), meter.quota.seconds());
                let paid_at = self.paid_at.get(&key).map_or(now, |&at| at.max(now));
                (key, window, window / i128::from(meter.quota.requests()), paid_at)
            })
            .collect();
        let has_room =
            |(_, window, step, paid_at): &(_, i128, i128, i128)| paid_at + step - now <= *window;
        let granted = windows.iter().all(has_room);
        let mut told = Vec::new();
        for (meter, entry) in meters.iter().zip(windows) {
            let refused = !has_room(&entry);
            let (key, window, step, mut paid_at) = entry;
            if granted && meter.charge == Charge::One {
                paid_at += step;
                self.paid_at.insert(key, paid_at);
            }
            let free = ((window - (paid_at - now)).div_euclid(step)).max(0);
            let free = free.min(i128::from(meter.quota.requests()));
            told.push((u32::try_from(free).unwrap(), refused));
        }
        told
    }
}

fn database() -> rusqlite::Connection {
    let database = rusqlite::Connection::open_in_memory().unwrap();
    database.execute_batch(SCHEMA).unwrap();
    database
}

/// A request: how long after the last one, and its meters.
fn request() -> impl Strategy<Value = (i64, Vec<Meter>)> {
    let pause = prop_oneof![Just(0), 0..SECOND / 10, 0..5 * SECOND, Just(3600 * SECOND),];
    let quotas = ["1/1s", "3/1s", "7/2s", "10/1m", "999999/1s", "2/1day"];
    let meter =
        (0..3_u8, 0..quotas.len(), any::<bool>()).prop_map(move |(subject, quota, check)| {
            let charge = if check { Charge::Check } else { Charge::One };
            Meter { charge, ..meter(&format!("subject {subject}"), quotas[quota]) }
        });
    let meters = proptest::collection::vec(meter, 1..6).prop_map(|mut meters| {
        // As the configuration has it: one quota a window of a subject.
        let mut known = std::collections::HashSet::new();
        meters.retain(|meter| known.insert((meter.subject.clone(), meter.quota.seconds())));
        meters
    });
    (pause, meters)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_statement_grants_what_the_reference_grants(
        requests in proptest::collection::vec(request(), 1..150),
    ) {
        let (database, mut levels) = (database(), Levels::default());
        let (mut reference, mut now) = (Reference::default(), BEGINNING);
        for (pause, meters) in requests {
            now += pause;
            let told = levels.count(&database, &meters, Moment(now)).unwrap();
            let expected = reference.count(&meters, now);
            for ((meter, told), (remaining, refused)) in meters.iter().zip(told).zip(expected) {
                prop_assert_eq!(told.refused, refused, "{:?} at {}", meter, now - BEGINNING);
                if meter.charge == Charge::One || refused {
                    prop_assert_eq!(told.remaining, remaining, "{:?}", meter);
                }
            }
        }
    }

    /// What is said to come free does, and not sooner.
    #[test]
    fn a_refill_comes_when_it_is_said(burst in 1..200_u32, quota in 0..3_usize) {
        let meter = [meter("a", ["5/1s", "7/3s", "100/1m"][quota])];
        let (database, mut levels) = (database(), Levels::default());
        let mut last = None;
        for _ in 0..burst {
            last = Some(levels.count(&database, &meter, Moment(BEGINNING)).unwrap()[0]);
        }
        let last = last.unwrap();
        let check = [Meter { charge: Charge::Check, ..meter[0].clone() }];
        let refill = i64::try_from(last.refill.unwrap().as_nanos()).unwrap();
        let free = |levels: &mut Levels, after: i64| {
            levels.count(&database, &check, Moment(BEGINNING + after)).unwrap()[0].remaining
        };
        if last.remaining == 0 {
            prop_assert_eq!(free(&mut levels, refill - 1), 0);
        }
        let after = levels.count(&database, &meter, Moment(BEGINNING + refill)).unwrap()[0];
        prop_assert!(!after.refused);
        prop_assert_eq!(after.remaining, last.remaining);
    }
}

#[test]
fn the_rate_holds_over_a_minute() {
    let (database, mut levels) = (database(), Levels::default());
    let meters = [meter("a", "100/1s")];
    // Twice the rate, for a minute.
    let granted = (0..12_000)
        .filter(|request| {
            let now = Moment(BEGINNING + request * SECOND / 200);
            !levels.count(&database, &meters, now).unwrap()[0].refused
        })
        .count();
    assert_eq!(granted, 100 + 6_000 - 1, "the first burst, and the rate until the last request");
}

#[test]
fn a_clock_that_steps_back_locks_nobody_out_for_longer_than_a_window() {
    let (database, mut levels) = (database(), Levels::default());
    let meters = [meter("a", "10/1m")];
    let mut count = |now: i64| levels.count(&database, &meters, Moment(now)).unwrap()[0];
    for _ in 0..10 {
        assert!(!count(BEGINNING).refused);
    }
    let earlier = BEGINNING - 3600 * SECOND;
    let level = count(earlier);
    assert!(level.refused, "taken for used up");
    assert_eq!(level.refill, Some(Duration::from_secs(6)));
    assert!(!count(earlier + 6 * SECOND).refused);
    assert!(count(earlier + 7 * SECOND).refused);
    // A little step is as if the time in between were asked for twice.
    assert!(count(earlier + 2 * SECOND).refused);
    assert!(!count(earlier + 12 * SECOND).refused);
}

#[test]
fn a_clock_that_steps_back_leaves_free_what_was_free() {
    let (database, mut levels) = (database(), Levels::default());
    let meters = [meter("a", "10/1s"), meter("a", "100/1m")];
    for back in [5, 11, 50, 65, 3600] {
        let mut count = |now: i64| levels.count(&database, &meters, Moment(now)).unwrap();
        assert!(count(BEGINNING).iter().all(|level| !level.refused));
        let earlier = count(BEGINNING - back * SECOND);
        assert!(earlier.iter().all(|level| !level.refused), "{back} s: {earlier:?}");
    }
}

#[test]
fn rows_from_before_the_clock_stepped_back_go() {
    let (database, mut levels) = (database(), Levels::default());
    let later = Moment(BEGINNING + 400 * 24 * 3600 * SECOND);
    levels.count(&database, &[meter("old", "2/1day")], later).unwrap();
    for request in 0..200 {
        let now = Moment(BEGINNING + request * SECOND);
        levels.count(&database, &[meter("new", "1/1s")], now).unwrap();
    }
    let old: u32 = database
        .query_row("SELECT count(*) FROM levels WHERE subject = 'old'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(old, 0);
}
