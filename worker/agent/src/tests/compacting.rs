//! What compactions do to a turn beside making it shorter.

use std::time::Duration;

use evonic_shared::config::{Model, ModelKind};

use super::{
    harness::{Endpoint, Harness, LOOPS, model_at},
    output::WORDS,
};
use evonic_domain::{
    CompactionKind, ContextView, Item, ItemAddress, ItemRange, NewCompaction, Outcome, SessionId,
    ToolCall, TurnEnd, TurnErrorCode, TurnState, Usage, WaitReason,
};
use evonic_store::NewReply;

/// An endpoint that has no room, and says for how long.
const BUSY: &str =
    "HTTP/1.1 429 Too Many Requests\r\nretry-after: 60\r\ncontent-length: 2\r\n\r\n{}";

/// Turns of a session before the one that is asked for, each so long.
fn history(harness: &Harness, session: &SessionId, turns: u32, bytes: usize) {
    for _ in 0..turns {
        harness.post(session, &"word ".repeat(bytes / 5));
        harness.as_another(1, |writer, lease| {
            let reply = NewReply { text: "noted".to_owned(), ..NewReply::default() };
            writer.record_reply(lease, reply)?;
            writer.end_turn(lease, TurnEnd::Completed { text: "noted".to_owned() })
        });
    }
}

/// An agent's model, and another one that summarises for it.
fn with_summaries(own: &Endpoint, summaries: &Endpoint) -> Harness {
    let summary_model = Some("summaries".to_owned());
    let own = Model { context_tokens: Some(2000), summary_model, ..model_at(own.address) };
    let patience = Duration::from_secs(600);
    let summaries = Model { patience, ..model_at(summaries.address) };
    Harness::with(|config| {
        config.models.insert("own".to_owned(), own);
        config.models.insert("summaries".to_owned(), summaries);
    })
}

/// The summaries' own endpoint is busy: the turn waits for it, and holds nothing.
#[test]
fn a_turn_waits_for_the_model_of_its_summary() {
    let (own, busy) = (Endpoint::start(WORDS), Endpoint::start(BUSY));
    let harness = with_summaries(&own, &busy);
    let session = harness.session("own", Some(&[]));
    history(&harness, &session, 6, 2000);
    let turn = harness.post(&session, "and now?");
    let worker = harness.worker(2, Some(1));
    worker.agents.wake();
    let waiting = harness.until("wait", || harness.turn(&turn), |turn| turn.waiting.is_some());
    assert_eq!(waiting.state, TurnState::Queued);
    assert_eq!(waiting.waiting.map(|waiting| waiting.reason), Some(WaitReason::RateLimit));
    assert_eq!(harness.compactions(&session), []);
}

/// Once there is no more patience with it, what it would have summarised is left out, and the
/// agent's own model is asked.
#[test]
fn a_turn_goes_on_without_a_summary_that_is_never_made() {
    let (own, busy) = (Endpoint::start(WORDS), Endpoint::start(BUSY));
    let harness = with_summaries(&own, &busy);
    let session = harness.session("own", Some(&[]));
    history(&harness, &session, 6, 2000);
    let turn = harness.post(&session, "and now?");
    harness.as_another(1, |writer, lease| {
        writer.count_attempt(lease, 1, Duration::from_secs(600))?;
        writer.hand_over(lease)
    });
    let _worker = harness.worker(2, Some(1));
    let ended = harness.ended(&turn);
    assert_eq!(ended.state, TurnState::Completed, "{ended:?}");
    let kinds: Vec<_> = harness.compactions(&session).into_iter().map(|it| it.kind).collect();
    assert_eq!(kinds, [CompactionKind::LeftOut]);
}

/// A reply of Messages.
const NOTED: &str = concat!(
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n",
    r#"data: {"type":"message_start","message":{"usage":{"input_tokens":300,"output_tokens":1}}}"#,
    "\n\n",
    r#"data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
    "\n\n",
    r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"noted"}}"#,
    "\n\n",
    r#"data: {"type":"content_block_stop","index":0}"#,
    "\n\n",
    r#"data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}"#,
    "\n\n",
    r#"data: {"type":"message_stop"}"#,
    "\n\n"
);

const FEW: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 21\r\n\
                   connection: close\r\n\r\n{\"input_tokens\": 300}";
const MANY: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 22\r\n\
                    connection: close\r\n\r\n{\"input_tokens\": 3000}";

/// Our estimate is too high for some languages: nothing is left out for that.
#[test]
fn what_an_endpoint_counts_is_believed_before_anything_is_left_out() {
    let is_count = |request: &str| request.starts_with("POST /v1/messages/count_tokens ");
    let few = Endpoint::answering(move |request| if is_count(request) { FEW } else { NOTED });
    let many = Endpoint::answering(move |request| if is_count(request) { MANY } else { NOTED });
    for (endpoint, compacted) in [(few, false), (many, true)] {
        let kind = ModelKind::Anthropic;
        let own = Model { kind, context_tokens: Some(4000), ..model_at(endpoint.address) };
        let harness = Harness::with(|config| _ = config.models.insert("own".to_owned(), own));
        let session = harness.session("own", Some(&[]));
        history(&harness, &session, 6, 2000);
        let turn = harness.post(&session, "and now?");
        let _worker = harness.worker(2, Some(1));
        let ended = harness.ended(&turn);
        assert_eq!(ended.state, TurnState::Completed, "{ended:?}");
        assert_eq!(!harness.compactions(&session).is_empty(), compacted);
    }
}

fn list_files() -> ToolCall {
    let (id, name, arguments) = ("c1", "list_files", "{}");
    ToolCall { id: id.to_owned(), name: name.to_owned(), arguments: arguments.to_owned() }
}

/// A reply that asks for a tool, where nobody offered one, and says nothing.
const NO_TEXT: &str = concat!(
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n",
    r#"data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c1","function":"#,
    r#"{"name":"list_files","arguments":"{}"}}]}}]}"#,
    "\n\n",
    r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}],"#,
    r#""usage":{"prompt_tokens":700,"completion_tokens":9}}"#,
    "\n\ndata: [DONE]\n\n"
);

/// It was paid for, though nothing came of it.
#[test]
fn the_tokens_of_a_summary_without_text_are_counted() {
    let (own, empty) = (Endpoint::start(WORDS), Endpoint::start(NO_TEXT));
    let harness = with_summaries(&own, &empty);
    let session = harness.session("own", Some(&[]));
    history(&harness, &session, 6, 2000);
    let turn = harness.post(&session, "and now?");
    let _worker = harness.worker(2, Some(1));
    let ended = harness.ended(&turn);
    assert_eq!(ended.state, TurnState::Completed, "{ended:?}");
    assert_eq!((ended.usage.input_tokens, ended.usage.output_tokens), (700, 9));
    let kinds: Vec<_> = harness.compactions(&session).into_iter().map(|it| it.kind).collect();
    assert_eq!(kinds, [CompactionKind::LeftOut]);
}

/// What was called before a compaction, and is not sent any more, is counted.
#[test]
fn the_loop_guard_sees_what_is_not_sent_any_more() {
    let endpoint = Endpoint::start(LOOPS);
    let model = model_at(endpoint.address);
    let harness = Harness::with(|config| _ = config.models.insert("remote".to_owned(), model));
    let session = harness.session("remote", Some(&["list_files"]));
    let first = harness.post(&session, "list them");
    {
        let worker = harness.worker(1, None);
        worker.agents.wake();
        assert_eq!(
            harness.ended(&first).error.expect("it fails").code,
            TurnErrorCode::RepeatedCalls
        );
    }
    let content = harness.results(&first)[0].1.clone();
    let most = harness.config.agents.max_repeats;

    let session = harness.session("remote", Some(&["list_files"]));
    let turn = harness.post(&session, "list them");
    harness.as_another(2, move |writer, lease| {
        for _ in 1..most {
            let reply = NewReply { tool_calls: vec![list_files()], ..NewReply::default() };
            writer.record_reply(lease, reply)?;
            writer.finish_call(lease, &list_files(), Outcome::Ok, content.clone())?;
        }
        let position = writer.turn_place(&lease.turn_id)?.position;
        let at = |item| ItemAddress { turn: position, item };
        let (message, last) = (at(0), at(2 * (most - 1)));
        let range = ItemRange { first: at(1), last };
        let view = ContextView {
            through: Some(last),
            message: Some(message),
            left_out: Some(range),
            at: last,
            ..ContextView::default()
        };
        let kind = CompactionKind::LeftOut;
        let new =
            NewCompaction { kind, range, tokens_before: 2, tokens_after: 1, model: None, view };
        writer.compact(lease, 1, &new, Usage::default(), 0)
    });
    let _worker = harness.worker(3, Some(2));
    let ended = harness.ended(&turn);
    assert_eq!(ended.error.expect("it fails").code, TurnErrorCode::RepeatedCalls);
    assert_eq!(ended.steps, most);
    let replies = harness.items(&turn).into_iter();
    let replies = replies.filter(|item| matches!(item, Item::Assistant { .. })).count();
    assert_eq!(replies, most as usize);
}
