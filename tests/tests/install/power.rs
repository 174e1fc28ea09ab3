//! A start after the power was cut.

use std::time::{Duration, Instant};

use evonic_tests::{http::Connection, poll};
use serde_json::{Value, json};

use crate::installation::Installation;

/// One request; its JSON, when it is answered with this status.
fn ask(
    installation: &Installation,
    wanted: u16,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Option<Value> {
    let mut connection = Connection::tcp(installation.address).ok()?;
    let answer = connection.request(method, path, &[], body).ok()?;
    (answer.status == wanted).then(|| answer.json())
}

#[test]
fn what_was_accepted_is_there_after_a_power_cut() {
    let mut installation = Installation::build("");
    let body = json!({"agent": "runbook"});
    let session =
        ask(&installation, 201, "POST", "/api/v1/sessions", Some(&body)).expect("a session");
    let session = session["id"].as_str().expect("an id");
    let messages = format!("/api/v1/sessions/{session}/messages");
    // The first is in a command when the power goes, the others wait behind it.
    let turns: Vec<String> = (0..5)
        .map(|number| {
            let content =
                format!("$ echo message {number}; sleep {}", if number == 0 { 30 } else { 0 });
            let posted =
                ask(&installation, 202, "POST", &messages, Some(&json!({"content": content})));
            let posted = posted.expect("it is accepted");
            posted["turn"]["id"].as_str().expect("an id").to_owned()
        })
        .collect();
    let state = |installation: &Installation, turn: &str| {
        let turn = ask(installation, 200, "GET", &format!("/api/v1/turns/{turn}"), None)?;
        Some(turn["state"].as_str()?.to_owned())
    };
    poll::until(
        "the first turn runs",
        Duration::from_secs(60),
        || state(&installation, &turns[0]),
        |state| (state.as_deref() == Some("running")).then_some(()),
    );
    installation.machine.cut_power();

    installation.machine.boot_again();
    let began = Instant::now();
    installation.machine.wait_for("ActiveState", |state| state == "active");
    installation.serves();
    let at = |name: &str| installation.machine.property(name).parse::<u64>().expect("microseconds");
    let took = at("ActiveEnterTimestampMonotonic") - at("InactiveExitTimestampMonotonic");
    println!(
        "after a power cut: ready {} ms after systemd began to start it, seen after {:.1} s",
        took / 1000,
        began.elapsed().as_secs_f64()
    );
    for turn in &turns {
        poll::until(
            "every accepted turn ends",
            Duration::from_secs(120),
            || (state(&installation, turn), installation.machine.journal()),
            |(state, _)| (state.as_deref() == Some("completed")).then_some(()),
        );
    }
    let listed = ask(&installation, 200, "GET", &messages, None).expect("messages");
    let asked = listed["data"].as_array().expect("a list");
    let asked = asked.iter().filter(|message| message["role"] == "user").count();
    assert_eq!(asked, turns.len(), "each accepted message is there once: {listed}");
}
