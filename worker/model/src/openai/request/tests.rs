//! Transcripts that other protocols would not allow, as endpoints accept them.

use serde_json::{Value, json};

use super::messages;
use crate::Request;
use evonic_domain::{Item, Outcome, ToolCall, Usage};

fn user(text: &str) -> Item {
    Item::user(text.to_owned())
}

fn assistant(text: &str, calls: &[(&str, &str)]) -> Item {
    let call = |&(id, arguments): &(&str, &str)| ToolCall {
        id: id.to_owned(),
        name: "bash".to_owned(),
        arguments: arguments.to_owned(),
    };
    Item::Assistant {
        text: text.to_owned(),
        tool_calls: calls.iter().map(call).collect(),
        usage: Usage::default(),
        carried: None,
    }
}

fn result(call_id: &str, outcome: Outcome) -> Item {
    Item::ToolResult {
        call_id: call_id.to_owned(),
        name: "bash".to_owned(),
        outcome,
        content: "content".to_owned(),
    }
}

fn sent(items: Vec<Item>) -> Vec<Value> {
    let request = Request { items: items.into(), ..Request::default() };
    let Value::Array(sent) = serde_json::to_value(messages(&request)).unwrap() else {
        panic!("messages are an array")
    };
    sent
}

#[test]
fn every_outcome_is_told() {
    let calls = [("a", "{}"), ("b", "{}"), ("c", "{}"), ("d", "{}")];
    let items = vec![
        user("go"),
        assistant("", &calls),
        result("a", Outcome::Ok),
        result("b", Outcome::Error),
        result("c", Outcome::Unknown),
        result("d", Outcome::Cancelled),
    ];
    let contents: Vec<Value> =
        sent(items)[2..].iter().map(|message| message["content"].clone()).collect();
    assert_eq!(
        contents,
        [
            json!("content"),
            json!("The call failed.\ncontent"),
            json!(
                "The call was interrupted: whether it took effect is unknown. Look before you \
                 repeat it.\ncontent"
            ),
            json!("The call was cancelled while it ran.\ncontent"),
        ]
    );
}

#[test]
fn every_call_has_its_result_right_behind_it() {
    let items = vec![
        user("go"),
        assistant("", &[("a", "{}"), ("b", "{}")]),
        result("a", Outcome::Cancelled),
        user("go on"),
        assistant("", &[("a", "{}")]),
        result("lost", Outcome::Ok),
    ];
    let roles: Vec<String> = sent(items)
        .iter()
        .map(|message| {
            let id = message.get("tool_call_id").and_then(Value::as_str).unwrap_or_default();
            format!("{} {id}", message["role"].as_str().unwrap())
        })
        .collect();
    assert_eq!(roles, ["user ", "assistant ", "tool a", "tool b", "user ", "assistant ", "tool a"]);
}

#[test]
fn arguments_that_are_no_object_are_wrapped() {
    let items = vec![user("go"), assistant("look", &[("a", "{\"k\": 1}"), ("b", "{\"k\": ")])];
    let sent = sent(items);
    assert_eq!(sent[1]["content"], "look");
    assert_eq!(sent[1]["tool_calls"][0]["function"]["arguments"], "{\"k\": 1}");
    assert_eq!(
        sent[1]["tool_calls"][1]["function"]["arguments"],
        json!({"not_json": "{\"k\": "}).to_string()
    );
}

#[test]
fn an_empty_reply_stays_a_reply() {
    let sent = sent(vec![user("go"), assistant("", &[]), user("and?")]);
    assert_eq!(sent[1], json!({"role": "assistant", "content": ""}));
}
