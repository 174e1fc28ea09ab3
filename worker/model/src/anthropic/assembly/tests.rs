//! Streams in the shape of recorded ones.

use evonic_domain::{Carried, Item, Outcome, ToolCall, Usage};
use evonic_shared::config::ModelKind;
use serde_json::{Value, json};

use crate::{
    Request, anthropic,
    body::JsonWriter,
    remote::{
        Added, Answer, Assembly, Failure, Finished, Terms,
        testing::{ENDPOINT, sending},
    },
};

/// An answer with these events, each under its name.
fn events(events: &[Value]) -> Vec<u8> {
    let event = |event: &Value| {
        format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or("x"))
    };
    events.iter().map(event).collect::<String>().into_bytes()
}

fn read_in(bytes: &[u8], size: usize) -> Result<(Added, Finished), Failure> {
    let terms = Terms { limit: 1 << 20, ..Terms::default() };
    let mut answer = Answer::new(Assembly::Anthropic(anthropic::Assembly::new(terms)), 1 << 20);
    let mut added = Added::default();
    for piece in bytes.chunks(size) {
        added.append(answer.push(piece)?);
    }
    let (finished, rest) = answer.end()?;
    added.append(rest);
    Ok((added, finished))
}

/// The reply of an answer, however it is cut.
fn read(all: &[Value]) -> Result<(Added, Finished), Failure> {
    let bytes = events(all);
    let whole = read_in(&bytes, bytes.len());
    for size in [1, 7, 64] {
        match (&whole, read_in(&bytes, size)) {
            (Ok(whole), Ok(cut)) => assert_eq!(*whole, cut),
            (Err(_), Err(_)) => {}
            (whole, cut) => panic!("{whole:?} and {cut:?}"),
        }
    }
    whole
}

fn start() -> Value {
    json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant",
        "content": [], "stop_reason": null, "usage": {"input_tokens": 25, "output_tokens": 1,
        "cache_creation_input_tokens": 100, "cache_read_input_tokens": 1000}}})
}

fn begin(index: u64, block: Value) -> Value {
    json!({"type": "content_block_start", "index": index, "content_block": block})
}

fn delta(index: u64, delta: Value) -> Value {
    json!({"type": "content_block_delta", "index": index, "delta": delta})
}

fn stop(index: u64) -> Value {
    json!({"type": "content_block_stop", "index": index})
}

fn end(reason: &str) -> [Value; 2] {
    [
        json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null},
            "usage": {"output_tokens": 89}}),
        json!({"type": "message_stop"}),
    ]
}

/// Thinking with its signature, text, and two tools at once.
fn recorded() -> Vec<Value> {
    let mut events = vec![
        start(),
        json!({"type": "ping"}),
        begin(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
        delta(0, json!({"type": "thinking_delta", "thinking": "Two files, "})),
        delta(0, json!({"type": "thinking_delta", "thinking": "so both."})),
        delta(0, json!({"type": "signature_delta", "signature": "EqQBCgIYAhIM1gbcDa9GJwZA2b3h"})),
        stop(0),
        begin(1, json!({"type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix"})),
        stop(1),
        begin(2, json!({"type": "text", "text": ""})),
        delta(2, json!({"type": "text_delta", "text": "I look at "})),
        delta(2, json!({"type": "text_delta", "text": "böth."})),
        stop(2),
        begin(3, json!({"type": "tool_use", "id": "toolu_01A", "name": "bash", "input": {}})),
        delta(3, json!({"type": "input_json_delta", "partial_json": ""})),
        delta(3, json!({"type": "input_json_delta", "partial_json": "{\"command\": \"cat"})),
        begin(4, json!({"type": "tool_use", "id": "toolu_01B", "name": "list_files", "input": {}})),
        delta(3, json!({"type": "input_json_delta", "partial_json": " a\"}"})),
        stop(3),
        stop(4),
    ];
    events.extend(end("tool_use"));
    events
}

fn call(id: &str, name: &str, arguments: &str) -> ToolCall {
    ToolCall { id: id.to_owned(), name: name.to_owned(), arguments: arguments.to_owned() }
}

#[test]
fn thinking_text_and_parallel_tools_are_a_reply() {
    let (added, reply) = read(&recorded()).unwrap();
    assert_eq!(added.reasoning, "Two files, so both.");
    assert_eq!((added.text.as_str(), reply.text.as_str()), ("I look at böth.", "I look at böth."));
    let calls = [
        call("toolu_01A", "bash", "{\"command\": \"cat a\"}"),
        call("toolu_01B", "list_files", "{}"),
    ];
    assert_eq!(reply.tool_calls, calls);
    let usage = Usage {
        input_tokens: 1125,
        cached_tokens: 1000,
        cache_write_tokens: 100,
        output_tokens: 89,
        reasoning_tokens: 0,
    };
    assert_eq!(reply.usage, usage);
}

#[test]
fn thinking_goes_back_unchanged_to_its_own_endpoint_only() {
    let (_, Finished { text, tool_calls, usage, carried, .. }) = read(&recorded()).unwrap();
    let result = |id: &str| Item::ToolResult {
        call_id: id.to_owned(),
        name: "bash".to_owned(),
        outcome: Outcome::Error,
        content: "no such file".to_owned(),
    };
    let sent = |endpoint: &str| {
        let carried = Some(Carried { endpoint: endpoint.to_owned(), data: carried.clone() });
        let (text, tool_calls) = (text.clone(), tool_calls.clone());
        let said =
            Item::Assistant { text, tool_calls, usage, model: String::new(), cost: 0, carried };
        let items = vec![Item::user("go"), said, result("toolu_01A"), result("toolu_01B")];
        let request = Request { items: items.into(), ..Request::default() };
        let mut json = JsonWriter::default();
        sending(ModelKind::Anthropic, |sending| {
            anthropic::write(&request, sending, true, &mut json);
        });
        let body: Value = serde_json::from_str(&json.finish(None).text()).unwrap();
        body
    };
    let body = sent(ENDPOINT);
    assert_eq!(body["cache_control"], json!({"type": "ephemeral"}));
    assert_eq!(
        body["messages"][1]["content"],
        json!([
            {"type": "thinking", "thinking": "Two files, so both.",
                "signature": "EqQBCgIYAhIM1gbcDa9GJwZA2b3h"},
            {"type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix"},
            {"type": "text", "text": "I look at böth."},
            {"type": "tool_use", "id": "toolu_01A", "name": "bash", "input": {"command": "cat a"}},
            {"type": "tool_use", "id": "toolu_01B", "name": "list_files", "input": {}},
        ])
    );
    assert_eq!(
        body["messages"][2]["content"][0],
        json!({"type": "tool_result", "tool_use_id": "toolu_01A", "is_error": true,
            "content": "The call failed.\nno such file"})
    );
    let elsewhere = sent("another endpoint")["messages"][1]["content"].to_string();
    assert!(!elsewhere.contains("thinking") && !elsewhere.contains("EqQB"), "{elsewhere}");
    assert!(elsewhere.contains("I look at böth."), "{elsewhere}");
}

#[test]
fn a_reply_ends_as_its_stop_reason_says() {
    let text = || vec![start(), begin(0, json!({"type": "text", "text": "Once"})), stop(0)];
    let ended = |reason: &str| read(&[text(), end(reason).to_vec()].concat());
    assert_eq!(ended("end_turn").unwrap().1.text, "Once");
    let cut = ended("max_tokens").unwrap();
    assert_eq!(cut.0.text, cut.1.text);
    assert!(cut.1.text.starts_with("Once\n\n[The reply was cut off"), "{}", cut.1.text);
    assert!(matches!(ended("refusal"), Err(Failure::Refused { status: 200, .. })));
    assert!(matches!(ended("pause_turn"), Err(Failure::Incomplete { again: true, .. })));
    let nothing = |reason: &str| read(&[vec![start()], end(reason).to_vec()].concat());
    assert!(matches!(nothing("model_context_window_exceeded"), Err(Failure::TooLong { .. })));
    assert!(matches!(nothing("end_turn"), Err(Failure::Incomplete { again: true, .. })));
    assert!(matches!(nothing("max_tokens"), Err(Failure::Incomplete { again: false, .. })));
    // Without the start, and without the end.
    let bare = [begin(0, json!({"type": "text", "text": "Once"})), json!({"type": "message_stop"})];
    assert_eq!(read(&bare).unwrap().1.text, "Once");
    assert!(matches!(read(&text()), Err(Failure::Transient { .. })));
}

#[test]
fn what_the_limit_cut_is_neither_run_nor_sent_back() {
    let mut events = recorded();
    events.truncate(16);
    events.extend(end("max_tokens"));
    let (_, reply) = read(&events).unwrap();
    assert_eq!(reply.tool_calls, []);
    assert!(reply.text.contains("1 unfinished tool calls were dropped"), "{}", reply.text);
    let mut events = recorded();
    events.truncate(5);
    events.extend(end("max_tokens"));
    assert!(read(&events).is_err(), "thinking without its signature is no reply");
}

#[test]
fn a_call_that_the_limit_cut_before_its_input_is_asked_for_again() {
    let call = |index: u64| {
        begin(index, json!({"type": "tool_use", "id": "toolu_1", "name": "bash", "input": {}}))
    };
    let alone = [vec![start(), call(0), stop(0)], end("max_tokens").to_vec()].concat();
    assert!(matches!(read(&alone), Err(Failure::Incomplete { again: true, .. })));
    let said = begin(0, json!({"type": "text", "text": "Once"}));
    let behind = [vec![start(), said, stop(0), call(1)], end("max_tokens").to_vec()].concat();
    let (_, reply) = read(&behind).unwrap();
    assert_eq!(reply.tool_calls, []);
    assert!(reply.text.contains("1 unfinished tool calls were dropped"), "{}", reply.text);
}

#[test]
fn errors_in_the_stream_keep_their_words() {
    let error =
        |kind: &str| json!({"type": "error", "error": {"type": kind, "message": "no luck today"}});
    let failed = |kind: &str| match read(&[start(), error(kind)]) {
        Err(failure) => failure,
        Ok(reply) => panic!("{reply:?}"),
    };
    assert!(
        matches!(failed("overloaded_error"), Failure::Busy { message, .. } if message == "no luck today")
    );
    assert!(matches!(failed("rate_limit_error"), Failure::Busy { .. }));
    assert!(matches!(failed("api_error"), Failure::Transient { .. }));
    assert!(matches!(failed("invalid_request_error"), Failure::Refused { status: 400, .. }));
}

#[test]
fn a_message_that_does_not_stream_is_understood() {
    let message = json!({"type": "message", "role": "assistant", "stop_reason": "tool_use",
        "content": [{"type": "text", "text": "Hm."},
            {"type": "tool_use", "id": "toolu_1", "name": "bash", "input": {"command": "ls"}}],
        "usage": {"input_tokens": 3, "output_tokens": 4}});
    let (added, reply) = read_in(message.to_string().as_bytes(), 10).unwrap();
    assert_eq!((added.text.as_str(), reply.text.as_str()), ("Hm.", "Hm."));
    assert_eq!(reply.tool_calls, [call("toolu_1", "bash", "{\"command\":\"ls\"}")]);
}
