//! Answers of a form: asked for again, failed at last, continued by another worker.

use serde_json::{Value, json};

use super::harness::{Endpoint, Harness, model_at};
use evonic_domain::{Item, ResponseFormat, SessionId, TurnErrorCode, TurnId, TurnState};
use evonic_store::{NewPost, NewReply};

/// A whole reply that is no JSON.
pub(super) const WORDS: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n\
     data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"It is 7.\"}}]}\n\n\
     data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/// A whole reply that is JSON in a fence.
const FENCED: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n\
     data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"```json\\n{\\\"n\\\": 7}\\n```\"}}]}\n\n\
     data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

fn number() -> ResponseFormat {
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}},
        "required": ["n"]});
    ResponseFormat::JsonSchema { schema, name: None }
}

pub(super) fn post_format(harness: &Harness, session: &SessionId) -> TurnId {
    let session = session.clone();
    let new = NewPost {
        content: "how many?".to_owned(),
        response_format: Some(number()),
        max_queued: 10,
        ..NewPost::default()
    };
    harness.write(move |writer| Ok(writer.post(&session, new)?.turn.id))
}

fn with_endpoint(answer: &'static str) -> (Harness, Endpoint) {
    let endpoint = Endpoint::start(answer);
    let model = model_at(endpoint.address);
    let harness = Harness::with(|config| _ = config.models.insert("remote".to_owned(), model));
    (harness, endpoint)
}

fn kinds(items: &[Item]) -> Vec<&'static str> {
    let kind = |item: &Item| match item {
        Item::User { .. } => "user",
        Item::Assistant { .. } => "assistant",
        _ => "other",
    };
    items.iter().map(kind).collect()
}

#[test]
fn an_answer_of_the_form_is_the_json_alone() {
    let (harness, _endpoint) = with_endpoint(FENCED);
    let worker = harness.worker(1, None);
    let session = harness.session("remote", None);
    let turn = post_format(&harness, &session);
    worker.agents.wake();
    assert_eq!(harness.ended(&turn).state, TurnState::Completed);
    let said = harness.events(&session).into_iter().rfind(|event| event.name == "message.created");
    let said: Value = serde_json::from_str(&said.unwrap().data).unwrap();
    assert_eq!(said["content"], "{\"n\": 7}");
    assert_eq!(kinds(&harness.items(&turn)), ["user", "assistant"]);
}

#[test]
fn an_answer_of_another_form_is_asked_for_twice_more() {
    let (harness, _endpoint) = with_endpoint(WORDS);
    let worker = harness.worker(1, None);
    let session = harness.session("remote", None);
    let turn = post_format(&harness, &session);
    worker.agents.wake();
    let ended = harness.ended(&turn);
    let error = ended.error.expect("it failed");
    assert_eq!(error.code, TurnErrorCode::InvalidOutput);
    assert!(error.message.contains("not JSON alone"), "{error:?}");
    assert_eq!(ended.steps, 3);
    let items = harness.items(&turn);
    assert_eq!(kinds(&items), ["user", "assistant", "user", "assistant", "user", "assistant"]);
    let Item::User { text, .. } = &items[2] else { panic!("{items:?}") };
    assert!(text.contains("not JSON alone") && text.contains("Reply again"), "{text}");
    let names = harness.event_names(&session);
    assert_eq!(names.iter().filter(|name| *name == "output.refused").count(), 2, "{names:?}");
}

#[test]
fn another_worker_goes_on_with_the_count() {
    let (harness, _endpoint) = with_endpoint(WORDS);
    let session = harness.session("remote", None);
    let turn = post_format(&harness, &session);
    let (claimed, _) = harness.as_another(1, |writer, lease| {
        writer.record_reply(lease, NewReply { text: "seven".to_owned(), ..NewReply::default() })?;
        writer.refuse_output(lease, "", "it is not JSON", "Reply again.")
    });
    assert_eq!((claimed.response_format, claimed.corrections), (Some(number()), 0));
    let _worker = harness.worker(2, Some(1));
    let ended = harness.ended(&turn);
    assert_eq!(ended.error.expect("it failed").code, TurnErrorCode::InvalidOutput);
    assert_eq!(ended.steps, 3, "one before, and two of this worker");
}

#[test]
fn a_model_that_cannot_is_not_asked() {
    let harness = Harness::open();
    let worker = harness.worker(1, None);
    let session = harness.session("runbook", None);
    let turn = post_format(&harness, &session);
    worker.agents.wake();
    let error = harness.ended(&turn).error.expect("it failed");
    assert_eq!(error.code, TurnErrorCode::InvalidOutput);
    assert!(error.message.contains("model runbook"), "{error:?}");
    assert_eq!(kinds(&harness.items(&turn)), ["user"]);
}
