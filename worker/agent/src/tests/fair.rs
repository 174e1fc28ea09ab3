//! Places shared by callers and agents.

use std::time::Duration;

use super::harness::Harness;
use evonic_domain::{SessionId, TurnState};

const WAIT: &str = "$ until [ -e go ]; do sleep 0.01; done\n";

/// New sessions, each of a new agent.
fn sessions(harness: &Harness, count: usize) -> Vec<SessionId> {
    (0..count).map(|_| harness.session("runbook", None)).collect()
}

#[test]
fn eight_long_commands_of_one_key_delay_nobody() {
    let harness = Harness::open();
    assert_eq!((harness.config.agents.workers, harness.config.agents.reserved_workers), (8, 1));
    let worker = harness.worker(1, None);
    let long: Vec<_> = sessions(&harness, 8)
        .iter()
        .map(|session| harness.post_as("key_hostile", session, WAIT))
        .collect();
    worker.agents.wake();
    harness.until("seven turns", || worker.agents.running(), |&running| running == 7);
    // The eighth waits: the last place is for who comes, one after the other.
    for caller in ["uid:0", "key_other", "uid:0"] {
        let session = harness.session("runbook", None);
        let turn = harness.post_as(caller, &session, "$ echo here\n");
        worker.agents.wake();
        assert_eq!(harness.ended(&turn).state, TurnState::Completed);
    }
    let states = || long.iter().filter(|turn| harness.turn(turn).owner.is_some()).count();
    assert_eq!(states(), 7);
    std::fs::write(harness.workplace("go"), "").unwrap();
    for turn in &long {
        assert_eq!(harness.ended(turn).state, TurnState::Completed);
    }
}

/// Places that come free go to who has fewer, whoever waited longer.
#[test]
fn a_caller_who_comes_later_gets_an_even_share() {
    let harness = Harness::with(|config| config.agents.workers = 5);
    let worker = harness.worker(1, None);
    let wait =
        |name: usize| format!("$ until [ -e go ] || [ -e go-{name} ]; do sleep 0.01; done\n");
    let first: Vec<_> = sessions(&harness, 8)
        .iter()
        .enumerate()
        .map(|(at, session)| harness.post_as("key_first", session, &wait(at)))
        .collect();
    worker.agents.wake();
    harness.until("four turns", || worker.agents.running(), |&running| running == 4);
    let second: Vec<_> = sessions(&harness, 4)
        .iter()
        .map(|session| harness.post_as("key_second", session, WAIT))
        .collect();
    worker.agents.wake();
    harness.until("five turns", || worker.agents.running(), |&running| running == 5);
    for (at, turn) in first.iter().enumerate().take(2) {
        std::fs::write(harness.workplace(&format!("go-{at}")), "").unwrap();
        assert_eq!(harness.ended(turn).state, TurnState::Completed);
    }
    let running =
        |turns: &[_]| turns.iter().filter(|turn| harness.turn(turn).owner.is_some()).count();
    harness.until("two each", || (running(&first), running(&second)), |now| *now == (2, 2));
    std::fs::write(harness.workplace("go"), "").unwrap();
    for turn in first.iter().chain(&second) {
        assert_eq!(harness.ended(turn).state, TurnState::Completed);
    }
}

/// A turn that waits for its place has its whole time.
#[test]
fn the_time_in_the_queue_is_not_the_turns() {
    let harness = Harness::with(|config| {
        (config.agents.workers, config.agents.reserved_workers) = (1, 0);
        config.agents.turn_timeout = Duration::from_secs(3);
    });
    let worker = harness.worker(1, None);
    let first = harness.post(&harness.session("runbook", None), "$ sleep 1000\n");
    let waits = harness.post(&harness.session("runbook", None), "$ sleep 1; echo done\n");
    worker.agents.wake();
    assert_eq!(harness.ended(&first).error.unwrap().code.name(), "turn_timeout");
    assert_eq!(harness.ended(&waits).state, TurnState::Completed);
}
