//! What lasts ends with its key.

use std::time::{Duration, Instant};

use super::{client::Client, test_server::until, worker::Worker};
use crate::places::Activity;

/// Told within a second; five times that on a busy machine.
const SOON: Duration = Duration::from_secs(5);

fn begin(worker: &Worker, key: &str, path: &str) -> Client {
    let mut client = worker.connect();
    client.send(worker.get(path).replace(worker.key.as_ref().unwrap(), key));
    client
}

/// A stream and a wait that last, with a key; how they end when `end` has done away with it.
fn check(expires_in: Option<Duration>, end: impl FnOnce(&Worker, &str)) {
    let worker = Worker::new(|config| config.http.sse_heartbeat = Duration::from_secs(15));
    let session = worker.session("ops");
    let turn = worker.say(&session, "$ sleep 60");
    let (id, key) = worker.new_key(expires_in);
    let path = format!("/api/v1/sessions/{session}/events");
    let mut stream = begin(&worker, &key, &path);
    assert_eq!(stream.head().unwrap().status, 200);
    let mut other = begin(&worker, worker.key.as_ref().unwrap(), &path);
    assert_eq!(other.head().unwrap().status, 200);
    let mut wait = begin(&worker, &key, &format!("/api/v1/turns/{turn}?wait=60"));
    until(|| worker.doing(Activity::Busy), |&busy| busy == 3);
    let began = Instant::now();
    end(&worker, &id);
    let mut text = String::new();
    while let Some(piece) = stream.chunk().unwrap() {
        text.push_str(&String::from_utf8(piece).unwrap());
    }
    assert!(!text.contains("retry:"), "it is not to come back: {text}");
    let reply = wait.reply().unwrap();
    assert!(reply.problem(401)["detail"].as_str().unwrap().contains("revoked"));
    assert!(reply.header("www-authenticate").unwrap().contains("invalid_token"));
    let (took, bound) = (began.elapsed(), SOON + expires_in.unwrap_or_default());
    assert!(took < bound, "{took:?}");
    begin(&worker, &key, &path).reply().unwrap().problem(401);
    worker.send("POST", &format!("/api/v1/turns/{turn}/cancel"), &serde_json::json!({}));
    let mut text = String::new();
    while !text.contains("turn.cancelled") {
        let piece = other.chunk().unwrap().expect("another key's stream goes on");
        text.push_str(&String::from_utf8(piece).unwrap());
    }
}

#[test]
fn when_it_is_revoked() {
    check(None, |worker, id| {
        assert_eq!(worker.delete(&format!("/api/v1/keys/{id}")).status, 204);
    });
}

#[test]
fn when_another_worker_revokes_it() {
    check(None, Worker::revoke_behind_its_back);
}

#[test]
fn when_its_time_is_over() {
    check(Some(Duration::from_secs(2)), |_, _| {});
}

#[test]
fn also_when_its_client_takes_nothing() {
    let worker = Worker::plain();
    let session = worker.session("ops");
    let (id, key) = worker.new_key(None);
    let stream = begin(&worker, &key, &format!("/api/v1/sessions/{session}/events"));
    // More than both sockets hold.
    for _ in 0..16 {
        let turn = worker.say(&session, &format!("$ true\n{}", "x".repeat(900_000)));
        worker.ended(&turn);
    }
    until(|| worker.doing(Activity::Stalled), |&stalled| stalled == 1);
    worker.revoke_behind_its_back(&id);
    until(|| worker.doing(Activity::Stalled), |&stalled| stalled == 0);
    drop(stream);
}
