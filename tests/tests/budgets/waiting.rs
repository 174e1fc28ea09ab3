//! Turns that wait for a budget, until it is raised or its period ends.

use std::{fs, path::Path, time::Duration};

use evonic_parts::Folder;
use evonic_tests::{
    pair::{Options, Pair},
    poll,
    scripted::Server,
    troubleshooting,
};
use jiff::{Timestamp, ToSpan, civil::Date};
use serde_json::json;

use super::{TOKENS, budget, events, pair, prepared, text, usage, wait_until_waiting};

#[test]
fn a_turn_waits_for_a_budget_and_goes_on_at_once_when_it_is_raised() {
    let server = Server::start(vec![text()]);
    let pair = pair(&server, "[usage]\ncurrency = \"EUR\"\n");
    let new = json!({"name": "ops", "subject": "agent", "of": "spender", "period": "month",
        "limit": {"tokens": 2 * TOKENS}});
    let made = budget(&pair, &new);
    assert_eq!(made["on_reached"], "wait", "{made}");
    let session = pair.session("spender");
    for _ in 0..2 {
        let turn = pair.wait_for_turn(&pair.post(&session, "go"));
        assert_eq!(turn["state"], "completed", "{turn}");
    }
    let turn = pair.post(&session, "go");
    let waiting = wait_until_waiting(&pair, &turn);
    assert_eq!(waiting["reason"], "budget", "{waiting}");
    assert_eq!(waiting["until"], made["state"]["ends_at"], "{waiting}");
    let seen = waiting["message"].as_str().expect("a message");
    troubleshooting::assert_documented("budget … is reached: … of … tokens", seen);
    assert_eq!(server.requests().len(), 2, "the model is not asked");
    // Who does not spend from it goes on.
    let other = pair.session("runbook");
    let free = pair.wait_for_turn(&pair.post(&other, "$ true"));
    assert_eq!(free["state"], "completed", "{free}");
    let shown = pair.evonic(&["budget", "list"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("24 (100 %)"), "{shown}");
    let raised = pair.evonic(&["budget", "set", "ops", "--tokens", "1000"]);
    assert!(raised.status.success(), "{raised:?}");
    let ended = pair.wait_for_turn(&turn);
    assert_eq!(ended["state"], "completed", "{ended}");
    assert_eq!(events(&pair, &session, &turn, "turn.waiting").len(), 1);
    assert_eq!(usage(&pair, "agent"), (5, 3 * TOKENS), "the runbook takes no tokens");
    let shown = pair.evonic(&["usage", "--by", "model"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("EUR") && !shown.contains("counted no tokens"), "{shown}");
    let of_session = pair.expect(200, "GET", &format!("/api/v1/sessions/{session}"), None);
    assert_eq!(of_session["usage"]["input_tokens"], 21, "{of_session}");
}

#[test]
fn what_cannot_be_a_budget_is_refused_by_its_field() {
    let server = Server::start(vec![text()]);
    let pair = pair(&server, "");
    let refused = |field: &str, body: serde_json::Value| {
        let answer = pair.expect(422, "POST", "/api/v1/budgets", Some(&body));
        assert_eq!(answer["field"], field, "{answer}");
    };
    let limit = json!({"tokens": 1});
    let with = |subject: &str, of: &str, period: &str| json!({"name": "b", "subject": subject, "of": of, "period": period, "limit": limit});
    refused("of", with("agent", "nobody", "day"));
    refused("of", with("key", "nobody", "day"));
    refused("of", with("session", "nobody", "day"));
    refused("of", with("all", "spender", "day"));
    let wait = json!({"name": "b", "subject": "all", "period": "turn", "limit": limit,
        "on_reached": "wait"});
    refused("on_reached", wait);
    let none = json!({"name": "b", "subject": "all", "period": "day", "limit": {"cost": 0}});
    refused("limit.cost", none);
    let output = pair.evonic(&[
        "budget",
        "add",
        "b",
        "-p",
        "total",
        "--tokens",
        "5",
        "--on-reached",
        "wait",
    ]);
    let seen = String::from_utf8_lossy(&output.stderr).into_owned();
    troubleshooting::assert_documented("has no next one to wait for", &seen);
    let output = pair.evonic(&["budget", "add", "b", "-p", "day", "--cost", "1,50"]);
    let seen = String::from_utf8_lossy(&output.stderr).into_owned();
    troubleshooting::assert_documented(
        "an amount is more than 0 and has at most 6 decimals",
        &seen,
    );
    // A key's budget is there for those who may see keys.
    let _ = budget(
        &pair,
        &json!({"name": "mine", "subject": "key", "period": "day",
        "limit": {"tokens": 5}}),
    );
    let key = pair.evonic(&["key", "add", "reader", "--scope", "read"]);
    let key = String::from_utf8_lossy(&key.stdout).trim().to_owned();
    let server = format!("http://{}", pair.address());
    let listed = pair.evonic(&["--server", &server, "--key", &key, "budget", "list", "--json"]);
    assert_eq!(String::from_utf8_lossy(&listed.stdout).trim(), "[]", "{listed:?}");
    assert!(pair.expect(200, "GET", "/api/v1/budgets/mine", None)["name"] == "mine");
}

/// Where Debian has it.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

#[test]
fn a_turn_goes_on_in_the_next_month_and_the_bill_has_two() {
    let server = Server::start(vec![text()]);
    let folder = Folder::with_prefix("evonic-").expect("a folder");
    let clock = folder.path().join("clock");
    let set = |to: Timestamp| {
        let offset = to.duration_since(Timestamp::now()).as_secs();
        let beside = clock.with_extension("new");
        fs::write(&beside, format!("{offset:+}\n")).expect("a file");
        fs::rename(beside, &clock).expect("a file");
    };
    let today: Date = Timestamp::now().to_string()[..10].parse().expect("a day");
    let next = today.first_of_month().checked_add(1.month()).expect("a month");
    let next: Timestamp = format!("{next}T00:00:00Z").parse().expect("a time");
    let hours = |hours: i64| next.checked_add(hours.hours()).expect("a time");
    set(hours(-2));
    assert!(Path::new(FAKETIME).exists(), "tests/parts.sh installs faketime");
    let variables = [
        ("LD_PRELOAD", FAKETIME),
        ("FAKETIME_TIMESTAMP_FILE", clock.to_str().expect("text")),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let environment = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = Options::config(&server.config("scripted"));
    let options = Options { environment: environment.to_vec(), ..config };
    let pair = Pair::spawn_in(folder, &options).answering();
    pair.wait("it serves", |status| status.state == evonic_shared::status::State::Running);
    let pair = prepared(pair);
    let _ = budget(
        &pair,
        &json!({"name": "month", "subject": "agent", "of": "spender", "period": "month",
        "limit": {"tokens": TOKENS}}),
    );
    let session = pair.session("spender");
    let first = pair.wait_for_turn(&pair.post(&session, "go"));
    assert_eq!(first["state"], "completed", "{first}");
    let turn = pair.post(&session, "go");
    let waiting = wait_until_waiting(&pair, &turn);
    assert_eq!(waiting["until"], format!("{next:.3}"), "{waiting}");
    set(hours(2));
    // A message makes the queue look at what waits.
    let other = pair.session("runbook");
    let path = format!("/api/v1/turns/{turn}");
    poll::until(
        "it goes on",
        Duration::from_secs(20),
        || {
            let _ = pair.wait_for_turn(&pair.post(&other, "$ true"));
            pair.expect(200, "GET", &path, None)
        },
        |turn| (turn["state"] == "completed").then_some(()),
    );
    let days = pair.expect(200, "GET", "/api/v1/usage?by=day&agent=spender", None);
    let days: Vec<_> =
        days["data"].as_array().expect("days").iter().map(|sum| &sum["calls"]).collect();
    assert_eq!(days, [1, 1], "a call in each month");
    let shown = pair.expect(200, "GET", "/api/v1/budgets/month", None);
    assert_eq!(shown["state"]["spent"][0]["spent"], TOKENS, "{shown}");
}
