//! Transcripts that other protocols would not allow, as endpoints accept them.

use evonic_shared::config::ModelKind;
use serde_json::{Value, json};

use crate::{Request, body::JsonWriter, remote::testing::sending};
use evonic_domain::{Item, Outcome, ToolCall};

fn user(text: &str) -> Item {
    Item::user(text.to_owned())
}

fn assistant(text: &str, calls: &[(&str, &str)]) -> Item {
    let call = |&(id, arguments): &(&str, &str)| ToolCall {
        id: id.to_owned(),
        name: "bash".to_owned(),
        arguments: arguments.to_owned(),
    };
    Item::assistant(text, calls.iter().map(call).collect())
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
    let mut json = JsonWriter::default();
    sending(ModelKind::OpenAi, |sending| super::write(&request, sending, &mut json));
    let mut body: Value = serde_json::from_str(&json.finish(None).text()).unwrap();
    let Value::Array(sent) = body["messages"].take() else { panic!("messages are an array") };
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
    let sent = sent(items);
    let roles: Vec<&str> =
        sent.iter().map(|message| message["role"].as_str().unwrap_or_default()).collect();
    // A reply parts results from what is said behind them: Mistral refuses a user's message there.
    let expected = ["user", "assistant", "tool", "tool", "assistant", "user", "assistant", "tool"];
    assert_eq!(roles, expected);
    assert_eq!(sent[2]["tool_call_id"], sent[1]["tool_calls"][0]["id"]);
    assert_eq!(sent[3]["tool_call_id"], sent[1]["tool_calls"][1]["id"]);
    assert_eq!(sent[3]["content"], "The call was not run.");
    let ids: std::collections::HashSet<_> =
        [1, 6].iter().map(|&place| sent[place]["tool_calls"][0]["id"].to_string()).collect();
    assert_eq!(ids.len(), 2, "an id of the history is given once");
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
fn an_empty_reply_is_not_sent() {
    let sent = sent(vec![user("go"), assistant(" \n", &[]), user("and?")]);
    assert_eq!(sent, [json!({"role": "user", "content": "go\n\nand?"})]);
}
