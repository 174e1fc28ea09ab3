//! What hangs, or waits, is in nobody's way.

use std::time::{Duration, Instant};

use evonic_tests::{
    pair::{Options, Pair},
    poll,
};

use super::endpoint::{Endpoint, Mood, session, turn};

/// From the message to the answer of ten turns, in the middle.
fn usual(pair: &Pair, agent: &str) -> Duration {
    let mut took: Vec<_> = (0..15)
        .map(|_| {
            let session = pair.session(agent);
            let begun = Instant::now();
            let turn = pair.wait_for_turn(&pair.post(&session, "hi"));
            assert_eq!(turn["state"], "completed", "{turn}");
            begun.elapsed()
        })
        .collect();
    took.sort();
    took[took.len() / 2]
}

#[test]
fn hung_and_busy_endpoints_delay_no_other_agents_turn() {
    let (hangs, busy, well) = (
        Endpoint::start(Mood::Hangs),
        Endpoint::start(Mood::Busy(120)),
        Endpoint::start(Mood::Well),
    );
    let config = [hangs.config("hangs"), busy.config("busy"), well.config("well")].concat();
    let mut pair = Pair::start(&Options::config(&config));
    session(&pair, "other", "well");
    let alone = usual(&pair, "other");

    session(&pair, "hanging", "hangs");
    session(&pair, "waiting", "busy");
    let post = |agent: &str| pair.post(&pair.session(agent), "hi");
    let hung: Vec<_> = (0..8).map(|_| post("hanging")).collect();
    let waits: Vec<_> = (0..8).map(|_| post("waiting")).collect();
    poll::until(
        "eight calls hang and eight turns wait",
        Duration::from_secs(20),
        || {
            let wait = waits.iter().filter(|id| turn(&pair, id)["waiting"].is_object()).count();
            (hangs.requests(), wait)
        },
        |now| (*now == (8, 8)).then_some(()),
    );
    let among = usual(&pair, "other");
    println!("a turn takes {alone:?} alone, {among:?} among eight that hang and eight that wait");
    assert!(among < alone * 2, "{among:?}, and {alone:?} alone");
    assert_eq!(usual_runbook(&pair)["state"], "completed");

    // More of them than there are handles: another agent's endpoint is asked as before.
    for _ in 0..12 {
        post("hanging");
    }
    let among = usual(&pair, "other");
    assert!(among < alone * 3, "{among:?}, and {alone:?} alone");

    let begun = Instant::now();
    let path = format!("/api/v1/turns/{}/cancel", hung[0]);
    let _ = pair.expect(202, "POST", &path, None);
    assert_eq!(pair.wait_for_turn(&hung[0])["state"], "cancelled");
    assert!(begun.elapsed() < Duration::from_secs(1), "took {:?}", begun.elapsed());
    assert_eq!(pair.stop(), Some(0));
}

fn usual_runbook(pair: &Pair) -> serde_json::Value {
    pair.wait_for_turn(&pair.post(&pair.session("runbook"), "$ echo here"))
}
