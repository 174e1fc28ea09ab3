//! Calls that are made again and again.

use std::{fs, time::Duration};

use evonic_tests::{
    pair::Options,
    poll,
    scripted::{Scripted, Server},
    testbed::{Ran, Testbed},
    troubleshooting::assert_documented,
};
use serde_json::json;

use super::agent;

fn echo(text: &str) -> Scripted {
    Scripted::Call("bash".to_owned(), json!({"command": format!("echo {text}")}))
}

/// Runs a turn of a model that calls these, and then the last one for ever.
fn run(calls: Vec<Scripted>, config: &str) -> (Ran, usize) {
    let model = Server::start(calls);
    let config = format!("{config}\n{}", model.config("looper"));
    let testbed = Testbed::local(&Options::config(&config));
    agent(&testbed.pair, "looper", "local");
    let ran = testbed.run("looper", "go");
    (ran, model.requests().len())
}

fn failed(ran: &Ran) -> (&str, &str) {
    let error = &ran.ended["error"];
    (error["code"].as_str().unwrap_or("none"), error["message"].as_str().unwrap_or("none"))
}

#[test]
fn the_model_is_told_and_then_the_turn_ends() {
    let (ran, requests) = run(vec![echo("same")], "");
    let (code, message) = failed(&ran);
    assert_eq!((code, requests), ("repeated_calls", 8), "{ran:#?}");
    assert_documented(
        "the model called … times with the same arguments and the same result",
        message,
    );
    let results = ran.results();
    assert_eq!(results.len(), 8);
    let told: Vec<bool> =
        results.iter().map(|(_, content)| content.contains("[repeated call: ")).collect();
    assert_eq!(told, [false, false, true, true, true, true, true, true]);
    assert_documented(
        "[repeated call: it has been made … times in this turn, with the same arguments",
        &results[2].1,
    );
}

#[test]
fn two_calls_that_alternate_are_a_loop_too() {
    let calls = (0..20).map(|number| echo(if number % 2 == 0 { "a" } else { "b" })).collect();
    let (ran, requests) = run(calls, "[agents]\nmax_repeats = 4");
    assert_eq!((failed(&ran).0, requests), ("repeated_calls", 8), "{ran:#?}");
}

#[test]
fn what_changes_is_no_loop_and_the_guard_can_be_off() {
    let mut calls: Vec<_> = (0..12).map(|number| echo(&number.to_string())).collect();
    calls.push(Scripted::Text(vec!["done".to_owned()], Duration::ZERO));
    let (ran, _) = run(calls, "[agents]\nmax_repeats = 4");
    assert!(ran.is_completed(), "{ran:#?}");

    let (ran, requests) = run(vec![echo("same")], "[agents]\nmax_repeats = 0\nmax_steps = 12");
    assert_eq!((failed(&ran).0, requests), ("too_many_steps", 12));
    assert!(ran.results().iter().all(|(_, content)| content == "same\n"));
}

/// The count is in the transcript: who takes the turn over goes on with it.
#[test]
fn a_takeover_does_not_begin_the_count_anew() {
    let model = Server::start(vec![Scripted::Call(
        "bash".to_owned(),
        json!({"command": "echo >> runs; sleep 0.4; echo same"}),
    )]);
    let testbed = Testbed::local(&Options::config(&model.config("looper")));
    agent(&testbed.pair, "looper", "local");
    let session = testbed.pair.session("looper");
    let turn = testbed.pair.post(&session, "go");
    let results = || {
        let events = testbed.events(&session, &turn);
        events.iter().filter(|event| event["type"] == "tool.completed").count()
    };
    // A call whose command never began has another result, which is news.
    let runs = testbed.pair.state_dir().join("workplace/runs");
    let begun = || fs::read(&runs).map_or(0, |lines| lines.len());
    poll::until("the fifth command runs", Duration::from_secs(30), begun, |&count| {
        (count >= 5).then_some(())
    });
    let _status = testbed.pair.kill_worker();
    let ended = testbed.pair.wait_for_turn(&turn);
    assert_eq!(ended["error"]["code"], "repeated_calls", "{ended}");
    assert_eq!(results(), 8);
}
