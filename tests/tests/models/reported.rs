//! Every reported answer, in one pair: the turn ends as it should, and what is sent next is valid.

use evonic_tests::pair::{Options, Pair};
use serde_json::{Value, json};

use crate::endpoint::{Case, Endpoint, name};

/// Cases whose turn fails, and with which code; none where what follows decides.
const FAILS: &[(&str, Option<&str>)] = &[
    ("python-none", Some("model_protocol")),
    ("length-empty", Some("incomplete_reply")),
    ("done-only", Some("incomplete_reply")),
    ("empty-200", Some("incomplete_reply")),
    ("no-finish-no-done", Some("model_unavailable")),
    ("html-200", Some("model_protocol")),
    ("gzip", Some("model_protocol")),
    ("leading-ndjson", Some("model_protocol")),
    ("array-first-chunk", Some("model_protocol")),
    ("redirect", Some("model_refused")),
    ("err-in-200", Some("model_refused")),
    ("finish-safety", Some("model_refused")),
    ("404", Some("model_refused")),
    ("401", Some("model_refused")),
    ("429-quota", Some("model_refused")),
    ("429-none", Some("model_unavailable")),
    ("429-secs", Some("model_unavailable")),
    ("err-json-200", Some("model_unavailable")),
    ("err-in-200-400", None),
    ("err-in-200-word", None),
    ("too-long", None),
    ("413", None),
];

#[test]
fn every_reported_answer_ends_its_turn_as_it_should() {
    let cases = Case::all();
    let endpoint = Endpoint::start(cases.clone());
    let models: String = cases
        .iter()
        .map(|case| endpoint.model(&case.name, "patience = \"1s\"\nretries = 1"))
        .collect();
    let pair = Pair::start(&Options::config(&models));
    let mut turns = Vec::new();
    for case in &cases {
        let name = name(&case.name);
        let agent = json!({ "name": format!("a-{name}"), "model": name });
        let _ = pair.expect(201, "POST", "/api/v1/agents", Some(&agent));
        let session = pair.session(&format!("a-{name}"));
        turns.push((case.name.as_str(), pair.post(&session, "hello"), session));
    }
    let mut wrong = Vec::new();
    for (case, turn, session) in &turns {
        let turn = pair.wait_for_turn(turn);
        let fails = FAILS.iter().find(|(name, _)| name == case).map(|(_, code)| code);
        let right = match fails {
            None => turn["state"] == "completed",
            Some(None) => turn["state"] == "failed",
            Some(Some(code)) => turn["error"]["code"] == *code,
        };
        if !right {
            wrong.push(format!("{case}: {turn}"));
        }
        // The session is as good as new: whatever came, the history is valid.
        let _ = pair.post(session, "again");
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), turns.len(), wrong.join("\n"));
    for case in &cases {
        for body in endpoint.asked(&case.name) {
            let invalid = invalid(&body);
            assert!(invalid.is_none(), "{}: {invalid:?}\n{body:#}", case.name);
        }
    }
}

/// What no strict endpoint takes.
fn invalid(body: &Value) -> Option<&Value> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    body["messages"].as_array()?.iter().find(|message| {
        let calls = message["tool_calls"].as_array().map_or(&[][..], Vec::as_slice);
        let blank = match &message["content"] {
            Value::String(text) => text.trim().is_empty(),
            // Parts go back to who sent them.
            Value::Array(parts) => parts.is_empty(),
            _ => true,
        };
        let names = calls.iter().filter_map(|call| call["function"]["name"].as_str());
        (blank && calls.is_empty())
            || names.into_iter().any(|name| name.is_empty() || !name.chars().all(fits))
    })
}
