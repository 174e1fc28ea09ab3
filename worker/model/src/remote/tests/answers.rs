//! Answers that an endpoint may give, and what becomes of them.

use serde_json::{Value, json};

use super::{
    Delta, ask, hello, joined, key_file, model, request,
    server::{EVENTS, Server, Step, chunked, events, finish, once, status, text},
};
use crate::{ModelError, Reply};
use evonic_domain::{Item, Outcome, ToolCall, Usage};

const CALLS: [&str; 4] = [
    r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":null,"tool_calls":[
        {"index":0,"id":"call_a","type":"function","function":{"name":"bash","arguments":""}}]}}]}"#,
    r#"{"choices":[{"index":0,"delta":{"tool_calls":[
        {"index":0,"function":{"arguments":"{\"command\": \"echo "}}]}}]}"#,
    r#"{"choices":[{"index":0,"delta":{"tool_calls":[
        {"index":1,"id":"call_b","type":"function","function":{"name":"list","arguments":"{}"}}]}}]}"#,
    r#"{"choices":[{"index":0,"delta":{"tool_calls":[
        {"index":0,"function":{"arguments":"grüße\"}"}}]}}]}"#,
];

fn calls() -> Vec<String> {
    CALLS.iter().map(|chunk| chunk.replace('\n', "")).collect()
}

fn call(id: &str, name: &str, arguments: &str) -> ToolCall {
    ToolCall { id: id.to_owned(), name: name.to_owned(), arguments: arguments.to_owned() }
}

/// The reply of a server to a greeting, and the text that came in pieces.
async fn reply(answer: impl Into<Vec<u8>>) -> Result<Reply, ModelError> {
    let server = Server::start(once(answer)).await;
    let model = model(&server, |_| {});
    let (reply, deltas) = ask(&model, &hello()).await;
    if let Ok(reply) = &reply {
        assert_eq!(joined(&deltas), reply.text, "pieces come to the text");
    }
    assert_eq!(server.client_sockets(), 0, "the connection closes with the call");
    reply
}

#[tokio::test]
async fn text_comes_in_pieces_and_as_a_reply() {
    let usage = r#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}"#.to_owned();
    let data = [text("Good "), text("mörning"), finish("stop"), usage, "[DONE]".to_owned()];
    for answer in [events(&data), chunked(&data)] {
        let expected = Reply {
            text: "Good mörning".to_owned(),
            tool_calls: Vec::new(),
            usage: Usage { input_tokens: 7, output_tokens: 3, ..Usage::default() },
            model: "gpt".to_owned(),
            ..Reply::default()
        };
        assert_eq!(reply(answer).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn pieces_are_sent_as_they_come() {
    let script = vec![vec![
        Step::Send(format!("{EVENTS}data: {}\n\n", text("first")).into_bytes()),
        Step::Hold,
    ]];
    let server = Server::start(script).await;
    let model = model(&server, |_| {});
    let (sender, mut receiver) = tokio::sync::mpsc::channel(8);
    let request = hello();
    let mut sink = crate::request::Sink::new(&sender);
    let asking = model.reply(&request, &mut sink);
    tokio::select! {
        reply = asking => panic!("the server still holds: {reply:?}"),
        delta = receiver.recv() => assert_eq!(delta, Some(Delta::Text("first".to_owned()))),
    }
}

#[tokio::test]
async fn calls_are_put_together_from_their_pieces() {
    let mut data = calls();
    data.extend([finish("tool_calls"), "[DONE]".to_owned()]);
    let expected =
        vec![call("call_a", "bash", r#"{"command": "echo grüße"}"#), call("call_b", "list", "{}")];
    assert_eq!(reply(events(&data)).await.unwrap().tool_calls, expected);

    // The same, byte by byte: cut within characters, lines, and arguments.
    let server = Server::start(vec![vec![Step::Trickle(events(&data).into_bytes())]]).await;
    let (reply, _) = ask(&model(&server, |_| {}), &hello()).await;
    assert_eq!(reply.unwrap().tool_calls, expected);
}

#[tokio::test]
async fn the_request_is_a_chat_completion() {
    let server = Server::start(once(events(&[text("ok"), finish("stop")]))).await;
    let (_folder, key) = key_file("sk-secret\n");
    let model = model(&server, |settings| {
        settings.key = Some(key);
        settings.temperature = Some(0.5);
        settings.max_tokens = Some(99);
    });
    let result = |call_id: &str, outcome, content: &str| Item::ToolResult {
        call_id: call_id.to_owned(),
        name: "bash".to_owned(),
        outcome,
        content: content.to_owned(),
    };
    let items = vec![
        Item::user("Hello".to_owned()),
        Item::Assistant {
            text: String::new(),
            tool_calls: vec![call("callA0001", "bash", "{}"), call("callB0002", "bash", "{}")],
            usage: Usage::default(),
            model: String::new(),
            cost: 0,
            carried: None,
        },
        result("callA0001", Outcome::Ok, "fine"),
        result("callB0002", Outcome::Error, "exit status 1"),
    ];
    ask(&model, &request(items)).await.0.unwrap();
    let (_, sent) = server.requests().pop().unwrap();
    let (head, body) = sent.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<&str> = head.lines().collect();
    assert_eq!(lines.remove(0), "POST /v1/chat/completions HTTP/1.1");
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "accept-encoding: identity",
            "accept: text/event-stream, application/json",
            "authorization: Bearer sk-secret",
            &format!("content-length: {}", body.len()),
            "content-type: application/json",
            &format!("host: 127.0.0.1:{}", server.port()),
            concat!("user-agent: evonic/", env!("CARGO_PKG_VERSION")),
        ]
    );
    let function = |id: &str| {
        json!({"id": id, "type": "function",
        "function": {"name": "bash", "arguments": "{}"}})
    };
    let expected = json!({
        "model": "gpt-test",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": null, "tool_calls": [function("callA0001"), function("callB0002")]},
            {"role": "tool", "tool_call_id": "callA0001", "content": "fine"},
            {"role": "tool", "tool_call_id": "callB0002", "content": "The call failed.\nexit status 1"},
        ],
        "tools": [{"type": "function", "function": {
            "name": "bash",
            "description": "Runs a command.",
            "parameters": {"type": "object", "properties": {"command": {"type": "string"}}},
        }}],
        "stream": true,
        "stream_options": {"include_usage": true},
        "temperature": 0.5,
        "max_tokens": 99,
    });
    assert_eq!(serde_json::from_str::<Value>(body).unwrap(), expected);
}

#[tokio::test]
async fn an_endpoint_that_does_not_stream_is_understood() {
    let body = json!({
        "object": "chat.completion",
        "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {
            "role": "assistant",
            "content": "Let me look.",
            "tool_calls": [{"id": "x", "type": "function",
                "function": {"name": "bash", "arguments": "{\"command\":\"ls\"}"}}],
        }}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 5},
    });
    let pretty = format!("\n{body:#}\n");
    let made = reply(status("200 OK", "", &pretty)).await.unwrap();
    assert_eq!(made.text, "Let me look.");
    assert_eq!(made.tool_calls, [call("x", "bash", "{\"command\":\"ls\"}")]);
    let usage = Usage { input_tokens: 11, output_tokens: 5, ..Usage::default() };
    assert_eq!(made.usage, usage);
}

#[tokio::test]
async fn a_reply_may_end_in_several_ways() {
    // Complete, though the count of tokens and `[DONE]` are missing.
    assert_eq!(reply(events(&[text("a"), finish("stop")])).await.unwrap().text, "a");
    // Without a reason, but with `[DONE]`, and without the empty line behind it.
    assert_eq!(reply(events(&[text("a"), "[DONE]".to_owned()])).await.unwrap().text, "a");
    let bare = format!("{}data: [DONE]", events(&[text("a"), finish("eos")]));
    assert_eq!(reply(bare).await.unwrap().text, "a");
    // Broken within the last chunk, when the reply was complete.
    let data = [text("a"), finish("stop"), "[DONE]".to_owned()];
    let cut = chunked(&data);
    assert_eq!(reply(&cut[..cut.len() - 20]).await.unwrap().text, "a");
}

#[tokio::test]
async fn a_reply_at_its_limit_says_so_and_runs_nothing_half() {
    let note = "[The reply was cut off at its limit of tokens.]";
    let cut = reply(events(&[text("Once"), finish("length")])).await.unwrap();
    assert_eq!(cut.text, format!("Once\n\n{note}"));

    let mut data = calls();
    data.truncate(3);
    data.push(finish("length"));
    let cut = reply(events(&data)).await.unwrap();
    assert_eq!(cut.tool_calls, [call("call_b", "list", "{}")]);
    assert!(cut.text.contains("; 1 unfinished tool calls were dropped.]"), "{}", cut.text);
}

#[tokio::test]
async fn a_filtered_reply_is_refused() {
    let error = reply(events(&[text("Once"), finish("content_filter")])).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "model gpt refused with status 200: its content filter stopped the reply"
    );
}
