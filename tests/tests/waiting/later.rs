//! A turn whose model is to be asked later: killed, restarted, cancelled meanwhile.

use std::time::{Duration, Instant};

use evonic_tests::{
    pair::{Options, Pair},
    poll,
    troubleshooting::assert_documented,
};
use serde_json::Value;

use super::endpoint::{Endpoint, Mood, session, turn};

/// Waits until the turn waits for its model; why, and until when.
fn waits(pair: &Pair, id: &str) -> Value {
    poll::until(
        "the turn waits",
        Duration::from_secs(20),
        || turn(pair, id),
        |turn| turn["waiting"].is_object().then(|| turn["waiting"].clone()),
    )
}

fn events(pair: &Pair, session: &str) -> Vec<String> {
    let file = pair.state_dir().join("evonic.db");
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let database = rusqlite::Connection::open_with_flags(file, flags).unwrap();
    let mut names = database
        .prepare("SELECT name FROM events WHERE session_id = ?1 ORDER BY sequence")
        .unwrap();
    let names = names.query_map([session], |row| row.get(0)).unwrap();
    names.collect::<Result<_, _>>().unwrap()
}

#[test]
fn a_turn_waits_as_told_and_goes_on_at_its_time() {
    let endpoint = Endpoint::start(Mood::Busy(4));
    let pair = Pair::start(&Options::config(&endpoint.config("busy")));
    let session = session(&pair, "patient", "busy");
    let begun = Instant::now();
    let (first, next) = (pair.post(&session, "one"), pair.post(&session, "two"));
    let waiting = waits(&pair, &first);
    assert_eq!(waiting["reason"], "rate_limit", "{waiting}");
    assert!(waiting["message"].as_str().unwrap().contains("slow down"), "{waiting}");
    assert_eq!(turn(&pair, &first)["state"], "queued");
    endpoint.is_now(Mood::Well);
    assert_eq!(pair.wait_for_turn(&first)["state"], "completed");
    let took = begun.elapsed();
    assert!((4..20).contains(&took.as_secs()), "it was asked again after {took:?}");
    assert_eq!(turn(&pair, &first)["waiting"], Value::Null);
    assert_eq!(pair.wait_for_turn(&next)["state"], "completed");
    assert_eq!(endpoint.requests(), 3, "once busy, once for each turn");
    let names = events(&pair, &session);
    let ended: Vec<_> = names.iter().filter(|name| name.starts_with("turn.")).collect();
    assert_eq!(
        ended,
        [
            "turn.started",
            "turn.waiting",
            "turn.resumed",
            "turn.completed",
            "turn.started",
            "turn.completed"
        ],
        "{names:?}"
    );
}

#[test]
fn a_kill_and_a_restart_while_it_waits_cost_nothing() {
    let endpoint = Endpoint::start(Mood::Busy(8));
    let mut pair = Pair::start(&Options::config(&endpoint.config("busy")));
    let session = session(&pair, "patient", "busy");
    let begun = Instant::now();
    let id = pair.post(&session, "one");
    let waiting = waits(&pair, &id);
    endpoint.is_now(Mood::Well);
    let _ = pair.kill_worker();
    assert_eq!(waits(&pair, &id), waiting, "the next worker has it");
    assert_eq!(pair.stop(), Some(0));
    pair.start_again(&Options::config(&endpoint.config("busy")), &[]);
    let pair = pair.answering();
    assert_eq!(pair.wait_for_turn(&id)["state"], "completed");
    let took = begun.elapsed();
    assert!((8..40).contains(&took.as_secs()), "it was asked again after {took:?}");
    assert_eq!(endpoint.requests(), 2);
}

#[test]
fn a_cancel_ends_a_turn_that_waits_and_lets_the_next_one_go() {
    let endpoint = Endpoint::start(Mood::Busy(120));
    let pair = Pair::start(&Options::config(&endpoint.config("busy")));
    let session = session(&pair, "patient", "busy");
    let (first, next) = (pair.post(&session, "one"), pair.post(&session, "two"));
    waits(&pair, &first);
    endpoint.is_now(Mood::Well);
    let begun = Instant::now();
    let cancelled = pair.expect(202, "POST", &format!("/api/v1/turns/{first}/cancel"), None);
    assert_eq!((&cancelled["state"], &cancelled["waiting"]), (&"cancelled".into(), &Value::Null));
    assert_eq!(pair.wait_for_turn(&next)["state"], "completed");
    assert!(begun.elapsed() < Duration::from_secs(5), "took {:?}", begun.elapsed());
}

#[test]
fn the_chat_says_until_when_it_waits_and_why() {
    let endpoint = Endpoint::start(Mood::Busy(120));
    let pair = Pair::start(&Options::config(&endpoint.config("busy")));
    let id = session(&pair, "patient", "busy");
    let turn = pair.post(&id, "one");
    waits(&pair, &turn);
    let mut chat = pair
        .evonic_command(&["chat", "patient", "hi"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut lines = std::io::BufReader::new(chat.stdout.take().unwrap());
    while !said.contains("waits until") {
        let read = std::io::BufRead::read_line(&mut lines, &mut said).unwrap();
        assert!(read > 0, "the chat ended: {said}");
    }
    chat.kill().unwrap();
    chat.wait().unwrap();
    assert!(said.contains("(rate limit)"), "{said}");
    assert_documented("waits until … (rate limit): …", &said);
    poll::until(
        "the log says so",
        Duration::from_secs(10),
        || pair.log(),
        |log| log.contains("turn waits for its model").then_some(()),
    );
    assert_documented("turn waits for its model", &pair.log());
}
