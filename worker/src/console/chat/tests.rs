//! The chat against a server that follows a script: it breaks where a worker may break.

use std::path::Path;

use evonic_shared::config::Config;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};

use super::*;
use crate::console::{
    server::Server,
    terminal::{Reader, Terminal},
    text::Palette,
};

const AGENT: &str = r#"{"id":"agt_0190c2a1b3c47d5e8f60718293a4b5c6","name":"runbook","model":"runbook","instructions":"","tools":null,"workplace":"local","other_workplaces":[],"created_at":"","updated_at":""}"#;
const SESSION: &str = r#"{"id":"ses_0190c2a1b3c47d5e8f60718293a4b5c7","agent_id":"agt_0190c2a1b3c47d5e8f60718293a4b5c6","title":"","last_event":0,"created_at":"","updated_at":""}"#;
const TURN: &str = "trn_0190c2a1b3c47d5e8f60718293a4b5c9";

fn posted() -> String {
    format!(
        r#"{{"message":{{"id":"msg_0190c2a1b3c47d5e8f60718293a4b5c8","session_id":"ses_0190c2a1b3c47d5e8f60718293a4b5c7","turn_id":"{TURN}","role":"user","content":"hi","created_at":""}},"turn":{{"id":"{TURN}","session_id":"ses_0190c2a1b3c47d5e8f60718293a4b5c7","state":"queued","steps":0,"owner":null,"cancel_requested":false,"error":null,"usage":{{"input_tokens":0,"output_tokens":0}},"created_at":"","started_at":null,"ended_at":null}}}}"#
    )
}

fn event(number: u64, fields: &str) -> String {
    format!("id: {number}\nevent: x\ndata: {{\"turn_id\":\"{TURN}\",\"at\":\"\",{fields}}}\n\n")
}

/// What the server does with one connection.
enum Answer {
    /// Answers with this status and body.
    Json(u16, String),
    /// Sends these pieces of an event stream, and then breaks the connection.
    Events(Vec<String>),
    /// Breaks the connection without an answer.
    Break,
}

/// Serves one connection after the other; returns the heads and bodies of their requests.
async fn serve(listener: UnixListener, script: Vec<Answer>) -> Vec<String> {
    let mut requests = Vec::new();
    for answer in script {
        let (mut stream, _) = listener.accept().await.expect("a client");
        requests.push(request(&mut stream).await);
        match answer {
            Answer::Break => {}
            Answer::Json(status, body) => {
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nRetry-After: 0\r\n\r\n{body}"
                );
                stream.write_all(answer.as_bytes()).await.expect("a reader");
            }
            Answer::Events(pieces) => {
                let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                stream.write_all(head.as_bytes()).await.expect("a reader");
                for piece in pieces {
                    let chunk = format!("{:x}\r\n{piece}\r\n", piece.len());
                    // A client that has seen the end of its turn is gone.
                    let _ = stream.write_all(chunk.as_bytes()).await;
                }
            }
        }
    }
    requests
}

async fn request(stream: &mut UnixStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().expect("a length")) {
                return text;
            }
        }
        assert_ne!(stream.read_buf(&mut bytes).await.expect("a client"), 0, "{text}");
    }
}

/// Runs a chat against a script: its result, its output, and its requests.
fn chat(script: Vec<Answer>, json: bool) -> (Result<ExitCode>, String, Vec<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    let config = Config::defaults("/nowhere".into(), folder.path().to_owned());
    let options = ChatOptions {
        agent: "runbook".to_owned(),
        message: Some("hi".to_owned()),
        attach: Vec::new(),
        session: None,
        json,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("one");
    let mut out = Vec::new();
    let mut err = Vec::new();
    let (result, requests) = runtime.block_on(async {
        let listener = listen(folder.path());
        let api = Api::new(Server::local(&config));
        let terminal = Terminal { out: Reader::Terminal(Palette::None), ..Terminal::NONE };
        let mut console = Console::new(&mut out, &mut err, terminal);
        let both =
            async { tokio::join!(run(&options, &api, &mut console), serve(listener, script)) };
        tokio::time::timeout(Duration::from_secs(20), both).await.expect("it ends")
    });
    let out = String::from_utf8(out).expect("text") + &String::from_utf8(err).expect("text");
    (result, out, requests)
}

fn listen(folder: &Path) -> UnixListener {
    UnixListener::bind(folder.join("api.sock")).expect("a socket")
}

fn header<'r>(request: &'r str, name: &str) -> &'r str {
    let prefix = format!("{name}: ");
    request.lines().find_map(|line| line.strip_prefix(prefix.as_str())).unwrap_or("")
}

fn text(text: &str) -> String {
    format!(r#""type":"text.delta","text":"{text}""#)
}

fn step(text: &str) -> String {
    format!(
        r#""type":"step.completed","step":1,"text":"{text}","usage":{{"input_tokens":0,"output_tokens":0}}"#
    )
}

const COMPLETED: &str = r#""type":"turn.completed","usage":{"input_tokens":12,"output_tokens":3}"#;

#[test]
fn a_turn_is_followed_over_the_death_of_its_worker() {
    let script = vec![
        Answer::Json(200, AGENT.to_owned()),
        Answer::Json(503, "{}".to_owned()),
        Answer::Json(201, SESSION.to_owned()),
        Answer::Break,
        Answer::Json(202, posted()),
        Answer::Events(vec![
            "retry: 10\n\n".to_owned(),
            event(1, &text("Hel")),
            event(2, &text("lo"))[..20].to_owned(),
        ]),
        Answer::Break,
        Answer::Events(vec![
            event(1, &text("Hel")),
            event(2, &text("lo")),
            event(3, r#""type":"of.a.later.version""#),
            event(4, &step("Hello")),
            event(5, COMPLETED),
        ]),
    ];
    let (result, out, requests) = chat(script, false);
    assert_eq!(result.expect("the turn completed"), ExitCode::Ok, "{out}");
    assert_eq!(out, "Hello\n12 tokens in, 3 tokens out\n");
    let lines: Vec<&str> = requests.iter().filter_map(|request| request.lines().next()).collect();
    let session = "ses_0190c2a1b3c47d5e8f60718293a4b5c7";
    let messages = format!("POST /api/v1/sessions/{session}/messages HTTP/1.1");
    let events = format!("GET /api/v1/sessions/{session}/events HTTP/1.1");
    assert_eq!(
        lines,
        [
            "GET /api/v1/agents/runbook HTTP/1.1",
            "POST /api/v1/sessions HTTP/1.1",
            "POST /api/v1/sessions HTTP/1.1",
            &messages,
            &messages,
            &events,
            &events,
            &events,
        ]
    );
    let key = header(&requests[3], "idempotency-key");
    assert!(key.len() > 30 && key == header(&requests[4], "idempotency-key"), "{key}");
    assert_ne!(key, header(&requests[2], "idempotency-key"));
    let resumed = requests[5..].iter().map(|request| header(request, "last-event-id"));
    assert_eq!(resumed.collect::<Vec<_>>(), ["0", "1", "1"]);
}

#[test]
fn the_exit_code_is_that_of_the_turn() {
    for (end, code, text) in [
        (COMPLETED, ExitCode::Ok, "12 tokens in, 3 tokens out\n"),
        (
            r#""type":"turn.failed","error":{"code":"model_unavailable","message":"it is away"}"#,
            ExitCode::TurnFailed,
            "The turn failed: it is away (model_unavailable)\n",
        ),
        (r#""type":"turn.cancelled""#, ExitCode::TurnCancelled, "The turn was cancelled.\n"),
    ] {
        let script = vec![
            Answer::Json(200, AGENT.to_owned()),
            Answer::Json(201, SESSION.to_owned()),
            Answer::Json(202, posted()),
            Answer::Events(vec![event(1, end)]),
        ];
        let (result, out, _) = chat(script, false);
        assert_eq!((result.expect("it ended"), out.as_str()), (code, text));
    }
}

#[test]
fn json_is_the_events_as_they_were_committed() {
    let script = vec![
        Answer::Json(200, AGENT.to_owned()),
        Answer::Json(201, SESSION.to_owned()),
        Answer::Json(202, posted()),
        Answer::Events(vec![event(1, &text("a")), event(2, COMPLETED)]),
    ];
    let (_, out, _) = chat(script, true);
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 3, "{out}");
    assert!(lines[0].contains("chat.opened") && lines[0].contains(TURN), "{out}");
    let data = |text: &str| {
        text.lines().nth(2).and_then(|line| line.strip_prefix("data: ").map(str::to_owned))
    };
    assert_eq!(Some(lines[1].to_owned()), data(&event(1, &text("a"))));
}

#[test]
fn a_refused_message_is_not_tried_again() {
    let problem = r#"{"title":"Too Many Requests","detail":"100 turns are queued"}"#;
    let script = vec![
        Answer::Json(200, AGENT.to_owned()),
        Answer::Json(201, SESSION.to_owned()),
        Answer::Json(429, problem.to_owned()),
    ];
    let (result, _, requests) = chat(script, false);
    let error = result.expect_err("it is refused");
    assert_eq!(error.to_string(), "Too Many Requests (429): 100 turns are queued");
    assert_eq!(requests.len(), 3);
}

#[test]
fn an_unused_socket_is_reported_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = Config::defaults("/nowhere".into(), folder.path().to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("one");
    let error = runtime
        .block_on(Api::new(Server::local(&config)).retrying(RETRY_LIMIT).get::<Agent>("/agents/x"))
        .expect_err("nobody listens");
    assert_eq!(error.exit_code(), ExitCode::Unavailable);
}
