//! Recycles under load that no client notices.

use std::{collections::BTreeMap, time::Duration};

use evonic_shared::reason::Reason;
use evonic_tests::{
    load::{Load, Tally},
    pair::{Options, Pair},
    poll, process, size,
};

/// Fresh connections, keep-alive and event streams in equal parts.
const CLIENTS: usize = 32;

fn pair() -> Pair {
    Pair::start(&Options::config(
        "[supervisor]\ngrace = \"10s\"\nbackoff_base = \"10ms\"\nbackoff_cap = \"50ms\"\n\
         [agents]\nmax_takeovers = 1000\n",
    ))
}

#[test]
fn clients_notice_no_recycle() {
    let recycles = size::of("recycles", 15, 200);
    let pair = pair();
    let supervisor_before = process::descriptors(pair.pid()).expect("a supervisor");
    let load = Load::mixed(pair.address(), CLIENTS);
    for _ in 0..recycles {
        let (_, generation) = pair.worker();
        let restarted = pair.evonic(&["restart", "--no-wait"]);
        assert!(restarted.status.success(), "{restarted:?}");
        pair.wait_for_successor(generation);
    }
    let seen = load.finish();
    println!("{recycles} recycles under {CLIENTS} clients: {seen}");
    assert_eq!(seen.faults(), 0, "{seen}\nlog:\n{}", pair.log());
    assert!(seen.answered > recycles && seen.events > recycles, "there was load: {seen}");

    let status = pair.status();
    assert_eq!(status.restarts.requested, recycles);
    assert_eq!(status.restarts.total, recycles, "nothing else was replaced: {status:#?}");
    let reasons: BTreeMap<Reason, usize> =
        pair.history().iter().fold(BTreeMap::new(), |mut sum, entry| {
            *sum.entry(entry.reason).or_default() += 1;
            sum
        });
    assert_eq!(reasons.keys().collect::<Vec<_>>(), [&Reason::Requested]);
    // The last status client's connection may be about to close.
    poll::until(
        "the supervisor's descriptors are what they were",
        Duration::from_secs(5),
        || process::links(pair.pid()),
        |links| (links.len() <= supervisor_before).then_some(()),
    );
}

#[test]
fn kills_refuse_nobody_and_lose_no_event() {
    let kills = size::of("recycles", 15, 200);
    let pair = pair();
    let load = Load::mixed(pair.address(), CLIENTS);
    for _ in 0..kills {
        pair.kill_worker();
        std::thread::sleep(Duration::from_millis(100));
    }
    let seen: Tally = load.finish();
    println!("{kills} times kill -9 under {CLIENTS} clients: {seen}");
    // A killed worker cuts what it was answering; the listener is never gone, and what was
    // accepted is never lost.
    assert_eq!(seen.refused, 0, "{seen}");
    assert_eq!(seen.events_wrong, 0, "{seen}");
}
