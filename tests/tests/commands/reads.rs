//! Calls that only read, side by side.

use std::{
    fs,
    time::{Duration, Instant},
};

use evonic_tests::{
    pair::Options,
    poll,
    scripted::{Scripted, Server},
    testbed::Testbed,
    troubleshooting::assert_documented,
};
use serde_json::{Value, json};

use super::agent;

/// Searches, each of which takes a command of its own on the host.
const READS: usize = 6;

/// A model that asks for six searches in one reply, then one after the other, then answers.
fn searches() -> (Server, Vec<String>) {
    let patterns: Vec<String> = (0..READS).map(|number| format!("needle {number}")).collect();
    let call = |pattern: &String| ("search_files".to_owned(), json!({"pattern": pattern}));
    let mut script = vec![Scripted::Calls(patterns.iter().map(call).collect())];
    script.extend(patterns.iter().map(|pattern| Scripted::Calls(vec![call(pattern)])));
    script.push(Scripted::Text(vec!["done".to_owned()], Duration::ZERO));
    (Server::start(script), patterns)
}

/// A host on which each command takes half a second to begin.
fn slow_host(model: &Server) -> Testbed {
    let (testbed, account) = Testbed::ssh(&Options::config(&model.config("reader")));
    for (number, file) in (0..READS).map(|number| (number, format!("{number}.txt"))) {
        fs::write(account.home.join(file), format!("needle {number}\n")).expect("a file");
    }
    fs::write(account.home.join(".bashrc"), "sleep 0.5\n").expect("its .bashrc");
    agent(&testbed.pair, "reader", "ssh");
    testbed
}

/// When the events of these calls were, in milliseconds from the first on.
fn at(event: &Value) -> i64 {
    let at = event["at"].as_str().expect("a time");
    at.parse::<jiff::Timestamp>().expect("RFC 3339").as_millisecond()
}

#[test]
fn they_take_the_time_of_one() {
    let (model, patterns) = searches();
    let testbed = slow_host(&model);
    let session = testbed.pair.session("reader");
    let ran = testbed.run_in(&session, "look");
    assert!(ran.is_completed(), "{ran:#?}");
    let results = ran.results();
    assert_eq!(results.len(), 2 * READS);
    for (pattern, (outcome, content)) in patterns.iter().chain(&patterns).zip(&results) {
        assert!(outcome == "ok" && content.contains(pattern.as_str()), "{pattern}: {content}");
    }
    let of =
        |kind: &str| ran.events.iter().filter(|event| event["type"] == kind).collect::<Vec<_>>();
    let (started, completed) = (of("tool.started"), of("tool.completed"));
    let side_by_side = at(completed[READS - 1]) - at(started[0]);
    let in_a_row = at(completed[2 * READS - 1]) - at(started[READS]);
    println!("  {READS} searches: {side_by_side} ms side by side, {in_a_row} ms in a row");
    assert!(side_by_side * 2 < in_a_row, "{side_by_side} ms, {in_a_row} ms");
}

#[test]
fn a_kill_in_the_middle_loses_none_and_doubles_none() {
    let (model, patterns) = searches();
    let testbed = slow_host(&model);
    let session = testbed.pair.session("reader");
    let turn = testbed.pair.post(&session, "look");
    let started = || {
        let events = testbed.events(&session, &turn);
        events.iter().filter(|event| event["type"] == "tool.started").count()
    };
    poll::until("all started", Duration::from_secs(30), started, |&count| {
        (count >= READS).then_some(())
    });
    let begun = Instant::now();
    let _status = testbed.pair.kill_worker();
    let ended = testbed.pair.wait_for_turn(&turn);
    assert_eq!(ended["state"], "completed", "{ended}");
    let events = testbed.events(&session, &turn);
    let of = |kind: &str, field: &str| {
        let events = events.iter().filter(|event| event["type"] == kind);
        events.map(|event| event[field].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let completed = of("tool.completed", "content");
    assert_eq!(completed.len(), 2 * READS, "{events:#?}");
    for (pattern, content) in patterns.iter().chain(&patterns).zip(&completed) {
        assert!(content.contains(pattern.as_str()), "{pattern}: {content}");
    }
    assert_eq!(of("turn.resumed", "type").len(), 1);
    println!("  completed {:?} after kill -9", begun.elapsed());
    // What the model was sent has each call with its result, in order.
    let requests = model.requests();
    let messages = requests.last().expect("a request")["messages"].as_array().expect("messages");
    let ids = |messages: &[Value]| -> Vec<String> {
        let ids = messages.iter().filter(|message| message["role"] == "tool");
        ids.map(|message| message["tool_call_id"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let asked: Vec<String> = messages
        .iter()
        .filter_map(|message| message["tool_calls"].as_array())
        .flatten()
        .map(|call| call["id"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(ids(messages), asked);
}

#[test]
fn a_tool_that_there_is_not_is_started_and_completed() {
    let model = Server::start(vec![
        Scripted::Call("no_such_tool".to_owned(), json!({})),
        Scripted::Text(vec!["done".to_owned()], Duration::ZERO),
    ]);
    let testbed = Testbed::local(&Options::config(&model.config("asker")));
    agent(&testbed.pair, "asker", "local");
    let ran = testbed.run("asker", "go");
    assert!(ran.is_completed(), "{ran:#?}");
    let names: Vec<&str> = ran
        .events
        .iter()
        .filter_map(|event| event["type"].as_str()?.strip_prefix("tool."))
        .collect();
    assert_eq!(names, ["started", "completed"]);
    assert_documented("There is no tool …. This agent has: …", &ran.results()[0].1);
}
