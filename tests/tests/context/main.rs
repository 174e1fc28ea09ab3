//! Conversations that are longer than their model's window.

mod cost;
mod kills;
mod real;
mod scripted;

use evonic_tests::pair::Pair;
use serde_json::{Value, json};

/// Makes an agent of this model, with these tools.
fn agent(pair: &Pair, name: &str, model: &str, tools: &[&str]) {
    let agent = json!({"name": name, "model": model, "tools": tools,
        "instructions": "You are a clerk. Answer in one short sentence."});
    let _agent = pair.expect(201, "POST", "/api/v1/agents", Some(&agent));
}

/// Every entry of a list of a session.
fn all(pair: &Pair, session: &str, list: &str) -> Vec<Value> {
    let (mut entries, mut after) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/v1/sessions/{session}/{list}?limit=200{after}");
        let page = pair.expect(200, "GET", &path, None);
        entries.extend(page["data"].as_array().expect("a page").iter().cloned());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return entries,
        }
    }
}

/// Asserts that compactions are counted without a gap, that no item is summarised twice, and that
/// each summary goes on where the one before ended.
fn assert_sound(compactions: &[Value]) {
    let address = |value: &Value| (value["turn"].as_u64(), value["item"].as_u64());
    let mut summarised = None;
    for (number, compaction) in (1_u64..).zip(compactions) {
        assert_eq!(compaction["number"], number, "{compactions:#?}");
        if compaction["kind"] == "summarised" {
            let last = address(&compaction["range"]["last"]);
            assert!(Some(last) > summarised, "a summary twice: {compactions:#?}");
            summarised = Some(last);
        }
    }
}
