//! What models took, and how much may be spent: by the real pair, against a scripted endpoint that
//! counts 12 tokens for each of its replies.

mod hook;
mod overshoot;
mod price;
mod waiting;

use std::time::Duration;

use evonic_tests::{
    pair::{Options, Pair},
    poll,
    scripted::{Scripted, Server},
};
use serde_json::{Value, json};

/// Tokens of a reply.
const TOKENS: u64 = 12;

/// Deadline of what usually takes a second.
const SOON: Duration = Duration::from_secs(30);

/// A reply of text alone: it ends its turn.
fn text() -> Scripted {
    Scripted::Text(vec!["Done.".to_owned()], Duration::ZERO)
}

/// A pair whose agent `spender` asks this endpoint.
fn pair(server: &Server, config: &str) -> Pair {
    prepared(Pair::start(&Options::config(&format!("{config}{}", server.config("scripted")))))
}

fn prepared(pair: Pair) -> Pair {
    let agent = json!({"name": "spender", "model": "scripted"});
    let _ = pair.expect(201, "POST", "/api/v1/agents", Some(&agent));
    pair
}

fn budget(pair: &Pair, body: &Value) -> Value {
    pair.expect(201, "POST", "/api/v1/budgets", Some(body))
}

/// The events of a session that have this name.
fn events(pair: &Pair, session: &str, turn: &str, name: &str) -> Vec<Value> {
    let path = format!("/api/v1/sessions/{session}/events?after=0&until_turn={turn}");
    let stream = pair.request("GET", &path, None).expect("a stream").text();
    let data = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    let data = data.filter_map(|data| serde_json::from_str::<Value>(data).ok());
    data.filter(|data| data["type"] == name).collect()
}

/// `evonic usage`, as this sums it up: calls, and tokens of input and output.
fn usage(pair: &Pair, by: &str) -> (u64, u64) {
    let output = pair.evonic(&["usage", "--by", by, "--json"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let usage: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let sums = usage["data"].as_array().expect("sums");
    let sum = |name: &str| sums.iter().map(|sum| sum[name].as_u64().expect(name)).sum::<u64>();
    (sum("calls"), sum("input_tokens") + sum("output_tokens"))
}

/// Waits until a turn is left until later; what it waits for.
fn wait_until_waiting(pair: &Pair, turn: &str) -> Value {
    let path = format!("/api/v1/turns/{turn}");
    poll::until(
        "it waits",
        SOON,
        || pair.expect(200, "GET", &path, None),
        |turn| (!turn["waiting"].is_null()).then(|| turn["waiting"].clone()),
    )
}
