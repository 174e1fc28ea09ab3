//! Answers of endpoints as they were reported in public, byte for byte: `cases.json` has of each
//! its source, what it is, the right behaviour, and the bytes.

use std::{collections::HashSet, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use evonic_domain::{Effect, Ending, Item, ToolSpec};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Delta, ask, joined, model,
    server::{Server, Step, chunked, events, finish, status, text},
};
use crate::{ModelError, Reply, Request};

#[derive(Deserialize)]
struct Case {
    name: String,
    source: String,
    what: String,
    right: String,
    /// One a request; the last one again.
    answers: Vec<String>,
}

/// What becomes of an answer.
enum Becomes {
    Text(&'static str),
    /// A reply with these calls, whose ids differ and are not empty.
    Calls(&'static [(&'static str, &'static str)]),
    Both(&'static str, &'static [(&'static str, &'static str)]),
    /// An error with these words.
    Fails(&'static str),
    /// To be asked again, not before so many seconds.
    Later(u64),
}

use Becomes::{Both, Calls, Fails, Later, Text};

const ONE: (&str, &str) = ("bash", r#"{"command": "echo one"}"#);
const TWO: (&str, &str) = ("bash", r#"{"command": "echo two"}"#);
const TIGHT: (&str, &str) = ("bash", r#"{"command":"echo one"}"#);
const DONE: Becomes = Text("all done");

/// The right behaviour of each case, and how many requests it takes.
#[rustfmt::skip]
const RIGHT: &[(&str, Becomes, usize)] = &[
    ("idx0-ids", Calls(&[ONE, TWO]), 1),
    ("idx0-noid", Calls(&[ONE, ("read_file", r#"{"path": "x"}"#)]), 1),
    ("noidx-ids", Calls(&[ONE, TWO]), 1),
    ("noidx-noid", Calls(&[ONE, TWO]), 1),
    ("interleaved", Calls(&[TIGHT, ("bash", r#"{"command":"echo two"}"#)]), 1),
    ("name-repeated", Calls(&[TIGHT]), 1),
    ("name-split", Calls(&[TIGHT]), 1),
    ("id-each-chunk", Calls(&[TIGHT]), 1),
    ("args-object", Calls(&[TIGHT]), 1),
    ("args-null", Calls(&[("list_files", "{}")]), 1),
    ("args-empty", Calls(&[("list_files", "{}")]), 1),
    ("args-bad", Calls(&[("bash", r#"{"command": "echo one"#)]), 1),
    ("args-trailing", Calls(&[("bash", r#"{"command": "echo one"}</invoke>"#)]), 1),
    ("args-fenced", Calls(&[("bash", r#""{\"command\": \"echo one\"}""#)]), 1),
    ("unknown-tool", Calls(&[("read_fileread_file", "{}")]), 1),
    ("bad-tool-name", Calls(&[TIGHT]), 1),
    ("empty-tool-name", DONE, 2),
    ("long-id", Calls(&[ONE]), 1),
    ("dup-id", Calls(&[ONE, TWO]), 1),
    ("same-id-next-turn", Calls(&[ONE]), 1),
    ("legacy-function-call", Calls(&[TIGHT]), 1),
    ("stop-with-calls", Calls(&[ONE]), 1),
    ("calls-without-calls", DONE, 2),
    ("xml-call-in-text", Text("<tool_call>\n{\"name\": \"bash\", \"arguments\": {\"command\": \"echo one\"}}\n</tool_call>"), 1),
    ("empty-stop", DONE, 2),
    ("malformed-function-call", DONE, 2),
    ("length-empty", Fails("cut off at its limit of tokens before any of it came: raise max_tokens"), 1),
    ("done-only", Fails("the answer is empty"), 3),
    ("empty-200", Fails("the answer is empty"), 3),
    ("thought-signature", Calls(&[ONE]), 1),
    ("crlf", DONE, 1),
    ("no-space", DONE, 1),
    ("empty-data", DONE, 1),
    ("event-ping", DONE, 1),
    ("single-newline", DONE, 1),
    ("no-last-blank", DONE, 1),
    ("no-done", DONE, 1),
    ("no-finish", DONE, 1),
    ("no-finish-no-done", Fails("the answer ended before the reply did"), 2),
    ("bom", DONE, 1),
    ("whole-json", DONE, 1),
    ("html-200", Fails("neither events nor JSON: <!DOCTYPE html><html><body>Please log in"), 2),
    ("html-200-once", DONE, 2),
    ("gzip", Fails("content-encoding gzip"), 2),
    ("redirect", Fails("it redirects to https://example.org/v1"), 1),
    ("refusal", Text("I cannot."), 1),
    ("content-parts", DONE, 1),
    ("azure-first", DONE, 1),
    ("usage-negative", DONE, 1),
    ("usage-empty", DONE, 1),
    ("finish-object", DONE, 1),
    ("tool-calls-object", DONE, 2),
    ("err-in-200", Fails("quota exceeded"), 1),
    ("err-in-200-400", Fails("The input (200000 tokens) is longer than the model's context length"), 1),
    ("err-in-200-word", Fails("This model's maximum context length is 8192 tokens."), 1),
    ("err-json-200", Later(0), 0),
    ("err-event", DONE, 2),
    ("too-long", Fails("However, your messages resulted in 9001 tokens"), 1),
    ("529", DONE, 2),
    ("429-none", Later(20), 1),
    ("429-secs", Later(3), 1),
    ("429-quota", Fails("You exceeded your current quota"), 1),
    ("surrogates-split", Text("hi \u{fffd}\u{fffd} done"), 1),
    ("nul-text", Text("a\0b done"), 1),
    ("nul-args", Calls(&[("bash", r#"{"command":"echo a\u0000b"}"#)]), 1),
    ("nul-user", DONE, 1),
    ("nul-path", Calls(&[("read_file", r#"{"path":"a\u0000b"}"#)]), 1),
    ("utf8-invalid", Text("hi \u{fffd}\u{fffd} done"), 1),
    ("control-chars", Text("a\x1b[31mred\x07\x1b]0;title\x07 b\rc"), 1),
    ("finish-abort-call", DONE, 2),
    ("finish-safety", Fails("its content filter stopped the reply"), 1),
    ("finish-LENGTH", Text("[The reply was cut off at its limit of tokens; 1 unfinished tool calls were dropped.]"), 1),
    ("think-tags", Text("Hello"), 1),
    ("http10", DONE, 1),
    ("no-reason", DONE, 1),
    ("early-103", DONE, 1),
    ("ct-json-sse", DONE, 1),
    ("array-200", DONE, 2),
    ("503-array", DONE, 2),
    ("leading-ndjson", Fails("it sends a JSON object a line"), 2),
    ("404", Fails("404 page not found (http://127.0.0.1:"), 1),
    ("401", Fails("Incorrect API key provided: sk-abc***xyz"), 1),
    ("413", Fails("413 Request Entity Too Large 413 Request Entity Too Large nginx/1.25.3"), 1),
    ("dup-calls-64", DONE, 2),
    ("calls-64", Calls(&[("list_files", "{}"); 64]), 1),
    ("text-and-calls", Both("I look.", &[ONE]), 1),
    ("role-tool-delta", Both("after", &[ONE]), 1),
    ("choices-null-first", DONE, 1),
    ("index-1-first", Calls(&[ONE]), 1),
    ("index-big", DONE, 2),
    ("python-none", Fails("key must be a string"), 2),
    ("message-in-stream", DONE, 1),
    ("whole-calls", Calls(&[TIGHT]), 1),
    ("array-first-chunk", Fails("a chunk is a list"), 2),
];

fn bytes(answer: &str) -> Vec<u8> {
    match answer.strip_prefix("base64:") {
        Some(text) => BASE64_STANDARD.decode(text).unwrap(),
        None => answer.as_bytes().to_vec(),
    }
}

fn hello() -> Request {
    let tool = |name: &str| ToolSpec {
        name: name.to_owned(),
        description: String::new(),
        schema: json!({"type": "object"}),
        effect: Effect::Change,
        ending: Ending::Own,
    };
    let tools = ["bash", "list_files", "read_file"].map(tool).to_vec();
    Request { items: vec![Item::user("hello")].into(), tools, ..Request::default() }
}

/// The reply to a request by a server with these answers, and how many requests it took.
async fn reply(answers: Vec<Vec<u8>>) -> (Result<Reply, ModelError>, Vec<Delta>, usize) {
    let scripts = answers.into_iter().map(|answer| vec![Step::Send(answer)]).collect();
    let server = Server::start(scripts).await;
    let model = model(&server, |settings| {
        settings.retries = 1;
        settings.patience = Duration::from_secs(60);
        settings.max_reply_bytes = 8 << 20;
    });
    let (reply, deltas) = ask(&model, &hello()).await;
    assert_eq!(server.client_sockets(), 0);
    (reply, deltas, server.accepted())
}

fn calls_of(reply: &Reply) -> Vec<(&str, &str)> {
    let ids: HashSet<&str> = reply.tool_calls.iter().map(|call| call.id.as_str()).collect();
    assert!(ids.len() == reply.tool_calls.len() && !ids.contains(""), "{ids:?}");
    reply.tool_calls.iter().map(|call| (call.name.as_str(), call.arguments.as_str())).collect()
}

#[tokio::test]
async fn every_reported_answer_becomes_what_is_right() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("cases.json")).unwrap();
    let mut wrong = Vec::new();
    for case in &cases {
        let (_, becomes, requests) = RIGHT
            .iter()
            .find(|(name, _, _)| *name == case.name)
            .unwrap_or_else(|| panic!("{} has no right behaviour", case.name));
        let answers = case.answers.iter().map(|answer| bytes(answer)).collect();
        let (reply, deltas, asked) = reply(answers).await;
        let told = match (becomes, &reply) {
            (Text(text), Ok(reply)) => reply.text == *text && reply.tool_calls.is_empty(),
            (Calls(calls), Ok(reply)) => calls_of(reply) == **calls && reply.text.is_empty(),
            (Both(text, calls), Ok(reply)) => calls_of(reply) == **calls && reply.text == *text,
            (Later(_), Err(ModelError::Later { .. })) | (Fails(_), Err(_)) => true,
            _ => false,
        };
        let words = reply.as_ref().err().map(ToString::to_string).unwrap_or_default();
        let right = match (becomes, &reply) {
            (Fails(expected), _) => words.contains(expected) && words.len() < 700,
            (Later(least), Err(ModelError::Later { after, .. })) => after.as_secs() >= *least,
            (_, Ok(reply)) => joined(&deltas) == reply.text,
            _ => false,
        };
        if !told || !right || (*requests != 0 && asked != *requests) {
            let Case { name, source, what, right, .. } = case;
            wrong.push(format!("{name} ({source}): {what}: {right}\n  {asked} asked, {reply:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert_eq!(cases.len(), RIGHT.len());
}

#[tokio::test]
async fn the_window_of_a_refusal_is_learnt() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("cases.json")).unwrap();
    for (name, window, tokens) in [
        ("too-long", 8192, Some(9001)),
        ("err-in-200-400", 131_072, Some(200_000)),
        ("err-in-200-word", 8192, None),
    ] {
        let case = cases.iter().find(|case| case.name == name).unwrap();
        let server = Server::start(vec![vec![Step::Send(bytes(&case.answers[0]))]]).await;
        let model = model(&server, |_| {});
        assert_eq!(model.window(), None);
        let error = ask(&model, &hello()).await.0.unwrap_err();
        let ModelError::TooLong { window: told, tokens: had, .. } = error else {
            panic!("{name}: {error}")
        };
        assert_eq!((told, had, model.window()), (Some(window), tokens, Some(window)), "{name}");
    }
}

#[tokio::test]
async fn large_pieces_are_taken_up_to_the_bound() {
    let large = "x".repeat(7_000_000);
    let done = finish("stop");
    let answer = |text: &str| events(&[super::server::text(text), done.clone()]).into_bytes();
    assert_eq!(reply(vec![answer(&large)]).await.0.unwrap().text, large);
    let larger = answer(&"x".repeat(9_000_000));
    let error = reply(vec![larger]).await.0.unwrap_err();
    assert!(matches!(error, ModelError::ReplyTooLarge { .. }), "{error}");
}

#[tokio::test]
async fn a_date_is_waited_for() {
    let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(9);
    let date = at.strftime("%a, %d %b %Y %H:%M:%S GMT");
    let header = format!("retry-after: {date}\r\n");
    let (reply, _, _) = reply(vec![status("429 Slow", &header, "{}").into_bytes()]).await;
    let Err(ModelError::Later { after, .. }) = reply else { panic!("{reply:?}") };
    assert!((6..=10).contains(&after.as_secs()), "{after:?}");
}

/// What the endpoint got in its n-th request.
fn sent(server: &Server, number: usize) -> Value {
    let (_, sent) = server.requests().swap_remove(number);
    serde_json::from_str(sent.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[tokio::test]
async fn a_field_that_is_refused_is_left_out_from_then_on() {
    let refusals = [
        (
            "400 Bad Request",
            r#"{"error": {"message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", "param": "max_tokens", "code": "unsupported_parameter"}}"#,
            "max_tokens",
        ),
        (
            "422 Unprocessable",
            r#"{"detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}]}"#,
            "stream_options",
        ),
        (
            "400 Bad Request",
            r#"{"error": {"message": "Unsupported value: 'temperature' does not support 0.5 with this model."}}"#,
            "temperature",
        ),
    ];
    for (line, body, field) in refusals {
        let good = chunked(&[text("ok"), finish("stop")]).into_bytes();
        let refusal = status(line, "", body).into_bytes();
        let server = Server::start(vec![vec![Step::Send(refusal)], vec![Step::Send(good)]]).await;
        let model = model(&server, |settings| {
            settings.max_tokens = Some(99);
            settings.temperature = Some(0.5);
        });
        for _ in 0..2 {
            assert_eq!(ask(&model, &hello()).await.0.unwrap().text, "ok", "{field}");
        }
        assert_eq!(server.accepted(), 3, "it is learnt once: {field}");
        assert!(sent(&server, 0).get(field).is_some());
        for number in [1, 2] {
            let sent = sent(&server, number);
            assert!(sent.get(field).is_none(), "{sent}");
            let limit = if field == "max_tokens" { "max_completion_tokens" } else { "max_tokens" };
            assert_eq!(sent[limit], 99);
        }
    }
}

#[tokio::test]
async fn a_form_that_is_refused_is_asked_for_in_words_from_then_on() {
    for (message, learnt) in [
        ("This response_format type is unavailable now", true),
        ("This model does not support response format `json_schema`.", true),
        ("Invalid schema for response_format 'reply': 'allOf' is not permitted.", false),
    ] {
        let refusal = status("400 X", "", &json!({"error": {"message": message}}).to_string());
        let good = chunked(&[text("{}"), finish("stop")]).into_bytes();
        let server = Server::start(vec![vec![Step::Send(refusal.into())], vec![Step::Send(good)]]);
        let server = server.await;
        let model = model(&server, |_| {});
        let schema = json!({"type": "object"});
        let request = Request { response_schema: Some(schema), ..hello() };
        assert_eq!(ask(&model, &request).await.0.is_ok(), learnt, "{message}");
        assert!(sent(&server, 0).get("response_format").is_some());
        if learnt {
            assert!(sent(&server, 1).get("response_format").is_none());
            let said = sent(&server, 1)["messages"][0]["content"].to_string();
            assert!(said.contains("JSON Schema"), "{said}");
        }
    }
}

#[tokio::test]
async fn what_came_with_a_reply_goes_back_as_it_came() {
    let signed = json!({"index": 0, "id": "abc", "type": "function",
        "function": {"name": "bash", "arguments": "{}"},
        "extra_content": {"google": {"thought_signature": "AY89a18IwQ"}}});
    let reasoning = json!({"choices": [{"delta": {"reasoning_content": "first "}}]}).to_string();
    let more = json!({"choices": [{"delta": {"reasoning_content": "second"}}]}).to_string();
    let call = json!({"choices": [{"delta": {"tool_calls": [signed]}}]}).to_string();
    let answer = chunked(&[reasoning, more, call, finish("tool_calls")]).into_bytes();
    let server = Server::start(vec![vec![Step::Send(answer)]]).await;
    let model = model(&server, |_| {});
    let (reply, deltas) = ask(&model, &hello()).await;
    let reply = reply.unwrap();
    assert_eq!(deltas, ["first ", "second"].map(|text| Delta::Reasoning(text.to_owned())));
    let Reply { text, tool_calls, usage, carried, .. } = reply;
    let items = vec![
        Item::user("hello"),
        Item::Assistant { text, tool_calls, usage, model: String::new(), cost: 0, carried },
        Item::ToolResult {
            call_id: "abc".to_owned(),
            name: "bash".to_owned(),
            outcome: evonic_domain::Outcome::Ok,
            content: "one".to_owned(),
        },
    ];
    let again = Request { items: items.into(), ..hello() };
    drop(ask(&model, &again).await);
    let said = &sent(&server, 1)["messages"][1];
    assert_eq!(said["reasoning_content"], "first second");
    assert_eq!(said["tool_calls"][0]["extra_content"]["google"]["thought_signature"], "AY89a18IwQ");
    assert_eq!(said["tool_calls"][0]["id"], "abc", "its own id");
    // To another endpoint goes none of it.
    let other = super::model(&server, |settings| settings.model = "other".to_owned());
    drop(ask(&other, &again).await);
    let said = sent(&server, 2)["messages"][1].to_string();
    for foreign in ["first second", "AY89a18IwQ", "\"abc\""] {
        assert!(!said.contains(foreign), "{said}");
    }
}
