//! What a request has besides its messages.

use evonic_domain::{Item, ModelFacts};
use evonic_shared::config::{Model, ModelKind};

use super::*;
use crate::remote::testing::{sending_with, settings};

/// The most tokens that are asked for, and the budget of thinking.
fn asked(change: impl FnOnce(&mut Model), max_output_tokens: Option<u32>) -> (u64, Option<u64>) {
    let mut settings = settings(ModelKind::Anthropic);
    change(&mut settings);
    let items = vec![Item::user("go")].into();
    let request = Request { items, max_output_tokens, ..Request::default() };
    let mut json = JsonWriter::default();
    let facts = ModelFacts::default();
    sending_with(&settings, &facts, |sending| write(&request, sending, true, &mut json));
    let body: Value = serde_json::from_str(&json.finish(None).text()).unwrap();
    let budget = body.pointer("/thinking/budget_tokens").and_then(Value::as_u64);
    (body["max_tokens"].as_u64().unwrap(), budget)
}

#[test]
fn a_reply_has_room_in_the_window_and_thinking_in_the_reply() {
    let thinking = |window: Option<u64>, max_tokens: Option<u32>| {
        move |model: &mut Model| {
            model.reasoning_effort = Some("4000".to_owned());
            (model.context_tokens, model.max_tokens) = (window, max_tokens);
        }
    };
    assert_eq!(asked(|_| {}, None), (8192, None));
    assert_eq!(asked(|model| model.context_tokens = Some(4096), None), (2048, None));
    assert_eq!(asked(thinking(None, Some(6000)), None), (6000, Some(4000)));
    assert_eq!(asked(thinking(None, None), None), (8192, Some(4000)));
    assert_eq!(asked(thinking(None, None), Some(4000)), (4000, None), "a summary");
    assert_eq!(asked(thinking(Some(8000), None), None), (4000, None));
    assert_eq!(asked(thinking(Some(200_000), Some(16_000)), None), (16_000, Some(4000)));
}
