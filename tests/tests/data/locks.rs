//! A lock that another process holds.

use std::{
    thread,
    time::{Duration, Instant},
};

use evonic_shared::store_report::StoreState;
use evonic_tests::{
    pair::{Options, Pair},
    poll, size,
    troubleshooting::assert_documented,
};
use serde_json::json;

use crate::{ask_for_session, database, report, seen, wait_until_well};

/// `store.busy_timeout`.
const BUSY: Duration = Duration::from_secs(5);

/// What a read may take, and what a refusal may come later, on a busy machine.
const SLACK: Duration = Duration::from_secs(3);

/// A lock for so long, with and without a turn that runs.
fn hold(begin: &str, held: Duration, with_turn: bool) {
    let pair = Pair::start(&Options::default());
    let (pid, generation) = pair.worker();
    let session = pair.session("runbook");
    let effects = pair.state_dir().join("workplace/effects");
    let turn = with_turn.then(|| {
        let turn = pair.post(&session, "$ sleep 1; echo once >> effects; echo done");
        let path = format!("/api/v1/turns/{turn}");
        poll::until(
            "it runs",
            Duration::from_secs(20),
            || pair.expect(200, "GET", &path, None)["state"].as_str().map(str::to_owned),
            |state| (state.as_deref() == Some("running")).then_some(()),
        );
        turn
    });
    let other = rusqlite::Connection::open(database(&pair)).unwrap();
    other.execute_batch(begin).unwrap();
    let began = Instant::now();
    thread::scope(|scope| {
        let posting = scope.spawn(|| (ask_for_session(&pair), began.elapsed()));
        let mut reads = 0;
        while began.elapsed() < held {
            let asked = Instant::now();
            let _ = pair.expect(200, "GET", "/api/v1/sessions", None);
            let _ = pair.expect(200, "GET", "/readyz", None);
            assert!(asked.elapsed() < SLACK, "a read took {:?}", asked.elapsed());
            reads += 2;
            thread::sleep(Duration::from_millis(100));
        }
        if held > 2 * SLACK {
            let state = pair.status();
            assert_eq!(report(&state).map(|report| report.state), Some(StoreState::Locked));
            assert_documented("database … is locked by another process", &seen(&pair));
        }
        other.execute_batch("ROLLBACK").unwrap();
        let (answer, took) = posting.join().unwrap();
        println!("{begin} for {held:?}: {reads} reads, POST {} after {took:?}", answer.status);
        if held > BUSY + SLACK {
            assert_eq!(answer.status, 503, "{}", answer.text());
            assert!(answer.header("retry-after").is_some());
            assert!(answer.text().contains("database_locked"), "{}", answer.text());
            assert!(took >= BUSY && took < BUSY + SLACK, "{took:?}");
        } else if held + SLACK <= BUSY {
            assert_eq!(answer.status, 201, "{}", answer.text());
        }
        let sessions = pair.expect(200, "GET", "/api/v1/sessions", None);
        let wanted = if answer.status == 201 { 2 } else { 1 };
        assert_eq!(sessions["data"].as_array().unwrap().len(), wanted, "{sessions}");
    });
    if let Some(turn) = turn {
        let turn = pair.wait_for_turn(&turn);
        assert_eq!(turn["state"], "completed", "{turn}");
        assert_eq!(std::fs::read_to_string(&effects).unwrap(), "once\n");
    }
    wait_until_well(&pair);
    let turn = pair.post(&session, "$ echo after");
    assert_eq!(pair.wait_for_turn(&turn)["state"], "completed");
    assert_eq!(pair.worker(), (pid, generation), "log:\n{}", pair.log());
    assert!(pair.history().is_empty(), "{:?}", pair.history());
}

#[test]
fn a_lock_of_another_process_replaces_nobody_and_reads_go_on() {
    let lengths: &[u64] = if size::is_full() { &[2, 5, 20, 60] } else { &[2, 9] };
    thread::scope(|scope| {
        for &seconds in lengths {
            let held = Duration::from_secs(seconds);
            scope.spawn(move || hold("BEGIN IMMEDIATE", held, false));
            scope.spawn(move || hold("BEGIN EXCLUSIVE", held, true));
        }
    });
}

#[test]
fn a_worker_that_starts_beside_a_lock_serves_reads_and_writes_after_it() {
    let held = Duration::from_secs(size::of("start_lock", 8, 60));
    let pair = Pair::start(&Options::config("[supervisor]\nstart_timeout = \"6s\"\n"));
    let session = pair.session("runbook");
    let other = rusqlite::Connection::open(database(&pair)).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let began = Instant::now();
    // It waits for half of its time to start, and reads then.
    let status = pair.kill_worker();
    let generation = status.worker.expect("a worker").generation;
    while began.elapsed() < held {
        let _ = pair.expect(200, "GET", "/api/v1/sessions", None);
        thread::sleep(Duration::from_millis(200));
    }
    other.execute_batch("ROLLBACK").unwrap();
    wait_until_well(&pair);
    let turn = pair.post(&session, "$ echo after");
    assert_eq!(pair.wait_for_turn(&turn)["state"], "completed");
    assert_eq!(pair.worker().1, generation);
    assert_eq!(pair.history().len(), 1, "{:?}", pair.history());
    // What it registered late is known to the next one.
    let next = pair.kill_worker().worker.expect("a worker").generation;
    assert!(next > generation);
    let _ = pair.expect(201, "POST", "/api/v1/sessions", Some(&json!({"agent": "runbook"})));
}
