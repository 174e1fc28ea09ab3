//! `/api/v1/turns`.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{test_server::until, worker::Worker};

#[test]
fn waiting_ends_with_the_turn() {
    let worker = Worker::plain();
    let session = worker.session("ops");
    let turn = worker.say(&session, "$ sleep 0.5");
    let began = Instant::now();
    let ended = worker.ended(&turn);
    assert_eq!(ended["state"], "completed");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(worker.fetch(&format!("/api/v1/turns/{turn}")).json(), ended);
}

#[test]
fn waiting_ends_with_its_time() {
    let worker = Worker::plain();
    let session = worker.session("ops");
    let turn = worker.say(&session, "$ sleep 60");
    let began = Instant::now();
    let state = worker.fetch(&format!("/api/v1/turns/{turn}?wait=1")).json()["state"].clone();
    assert!(state == "running" || state == "queued", "{state}");
    let elapsed = began.elapsed();
    assert!(elapsed > Duration::from_millis(900) && elapsed < Duration::from_secs(5));
    for wait in ["61", "-1", "x"] {
        let problem = worker.fetch(&format!("/api/v1/turns/{turn}?wait={wait}")).problem(400);
        assert_eq!(problem["field"], "wait");
    }
    worker.post(&format!("/api/v1/turns/{turn}/cancel"), &json!({}));
}

#[test]
fn waiting_answers_with_the_state_at_its_end() {
    let worker = Worker::plain();
    let session = worker.session("ops");
    let first = worker.say(&session, "$ sleep 60");
    let second = worker.say(&session, "$ sleep 60");
    let mut waiting = worker.connect();
    waiting.send(worker.get(&format!("/api/v1/turns/{second}?wait=3")));
    until(|| worker.owned(), |&owned| owned == 1);
    assert_eq!(worker.fetch(&format!("/api/v1/turns/{second}")).json()["state"], "queued");
    worker.post(&format!("/api/v1/turns/{first}/cancel"), &json!({}));
    assert_eq!(waiting.reply().unwrap().json()["state"], "running");
    worker.post(&format!("/api/v1/turns/{second}/cancel"), &json!({}));
}

#[test]
fn waiting_ends_with_a_cancel_within_a_second() {
    let worker = Worker::plain();
    let session = worker.session("ops");
    let turn = worker.say(&session, "$ sleep 60");
    let mut waiting = worker.connect();
    waiting.send(worker.get(&format!("/api/v1/turns/{turn}?wait=30")));
    let began = Instant::now();
    let asked = worker.post(&format!("/api/v1/turns/{turn}/cancel"), &json!({}));
    assert_eq!(asked.status, 202, "{asked:?}");
    assert_eq!(asked.json()["cancel_requested"], true);
    assert_eq!(waiting.reply().unwrap().json()["state"], "cancelled");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let again = worker.post(&format!("/api/v1/turns/{turn}/cancel"), &json!({}));
    assert_eq!(again.json()["state"], "cancelled");
}

#[test]
fn waiting_ends_with_a_drain() {
    let worker = Worker::plain();
    let session = worker.session("ops");
    let turn = worker.say(&session, "$ sleep 3");
    until(|| worker.owned(), |&owned| owned == 0);
    let mut waiting = worker.connect();
    waiting.send(worker.get(&format!("/api/v1/turns/{turn}?wait=30")));
    until(|| worker.owned(), |&owned| owned == 1);
    assert_eq!(worker.drain(Duration::from_secs(5)), 0);
    let reply = waiting.reply().unwrap();
    assert_eq!(reply.status, 200);
    assert!(reply.closes());
}
