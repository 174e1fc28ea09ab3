//! Both services of evonic, played by a stranger: every text that their types leave free is hostile.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    thread,
};

use evonic_tests::pair::Pair;
use serde_json::{Value, json};

use crate::screen::EVIL;

/// Fields of the status protocol whose type is text.
const FREE: [&str; 9] = [
    "version",
    "address",
    "at",
    "detail",
    "last_error",
    "post_mortem",
    "signal",
    "error",
    "message",
];

/// What an impostor of the worker answers.
#[derive(Clone, Copy, Debug)]
pub enum Answers {
    /// Problems of this status.
    Problem(u16),
    /// JSON of another type.
    Nonsense,
    /// Events of every kind of progress.
    Events,
}

pub const ANSWERS: [Answers; 6] = [
    Answers::Problem(401),
    Answers::Problem(403),
    Answers::Problem(404),
    Answers::Problem(500),
    Answers::Nonsense,
    Answers::Events,
];

impl Answers {
    fn answer(self) -> Vec<u8> {
        let (status, kind, body) = match self {
            Self::Problem(status) => {
                let problem = json!({ "title": EVIL, "detail": EVIL, "status": status });
                (status, "application/problem+json", problem.to_string())
            }
            Self::Nonsense => (200, "application/json", json!({ "data": [EVIL] }).to_string()),
            Self::Events => (200, "text/event-stream", events()),
        };
        let length = body.len();
        format!(
            "HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        )
        .into_bytes()
    }
}

/// Steps of a check and of a copy, a line of a build, and how each ended.
fn events() -> String {
    let step = json!({
        "step": EVIL, "verdict": "failed", "detail": EVIL, "advice": EVIL, "elapsed_ms": 1,
        "type": "skipped", "path": EVIL, "reason": EVIL,
    });
    let done = json!({ "ok": false, "error": EVIL });
    format!("event: step\ndata: {step}\n\nevent: done\ndata: {done}\n\n")
}

/// Serves both sockets of a runtime folder until the test ends.
pub fn serve(folder: &Path, pair: &Pair, answers: Answers) {
    let replies = Replies::of(pair);
    listen(folder.join("supervisor.sock"), move |stream| replies.answer(stream));
    listen(folder.join("api.sock"), move |mut stream| {
        let mut request = BufReader::new(&stream);
        let mut line = String::new();
        let mut length = 0;
        while request.read_line(&mut line).is_ok_and(|read| read > 2) {
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            line.clear();
        }
        let _ = request.take(length).read_to_end(&mut Vec::new());
        // The command may have seen enough.
        let _ = stream.write_all(&answers.answer());
    });
}

fn listen(socket: PathBuf, answer: impl Fn(UnixStream) + Send + Sync + 'static) {
    let _ = fs::remove_file(&socket);
    let listener = UnixListener::bind(socket).expect("a socket");
    thread::spawn(move || listener.incoming().flatten().for_each(&answer));
}

/// The replies of a real supervisor, with hostile text.
struct Replies(Vec<(&'static str, Value)>);

impl Replies {
    fn of(pair: &Pair) -> Self {
        let real = |request: Value| serde_json::to_value(pair.ask(&request).expect("a reply"));
        let mut replies = Vec::new();
        for name in ["status", "history", "census"] {
            let mut reply = real(json!({ "op": name })).expect("it is JSON");
            assert!(reply.get("format").is_some(), "{reply}");
            spoil(&mut reply, name == "census");
            replies.push((name, reply));
        }
        Self(replies)
    }

    fn answer(&self, stream: UnixStream) {
        let mut requests = BufReader::new(&stream);
        let mut request = String::new();
        while requests.read_line(&mut request).is_ok_and(|read| read > 0) {
            let asked: Value = serde_json::from_str(&request).expect("a request");
            let op = if asked["op"] == "watch" { "status" } else { asked["op"].as_str().unwrap() };
            let known = self.0.iter().find(|(name, _)| *name == op);
            let refusal =
                || json!({ "reply": "error", "format": 1, "code": "invalid", "message": EVIL });
            let reply = known.map_or_else(refusal, |(_, reply)| reply.clone());
            if (&stream).write_all(format!("{reply}\n").as_bytes()).is_err() {
                return;
            }
            request.clear();
        }
    }
}

/// Puts hostile text wherever a reader of the type takes it.
fn spoil(value: &mut Value, names_are_free: bool) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| spoil(value, names_are_free)),
        Value::Object(fields) => {
            for (key, value) in fields {
                let is_free = FREE.contains(&key.as_str()) || (names_are_free && key == "name");
                match value {
                    Value::String(text) if is_free => EVIL.clone_into(text),
                    Value::Null if key == "last_error" => *value = EVIL.into(),
                    value => spoil(value, names_are_free),
                }
            }
        }
        _ => {}
    }
}
