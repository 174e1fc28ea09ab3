//! An endpoint that hangs, asks to come back later, or answers, as it is told to.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread::JoinHandle,
};

use evonic_tests::pair::Pair;
use serde_json::json;

/// What it does with each request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// It answers nothing, and keeps the connection.
    Hangs,
    /// 429, with this `Retry-After` in seconds.
    Busy(u32),
    /// It answers.
    Well,
}

pub struct Endpoint {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    thread: Option<JoinHandle<()>>,
}

struct State {
    mood: Mood,
    requests: usize,
    /// Connections of requests that hang.
    held: Vec<TcpStream>,
    ends: bool,
}

impl Endpoint {
    pub fn start(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = State { mood, requests: 0, held: Vec::new(), ends: false };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.lock().unwrap().ends {
                    return;
                }
                if let Ok(stream) = stream {
                    // A client that went away is what some tests are about.
                    let _ = answer(stream, &shared);
                }
            }
        });
        Self { address, state, thread: Some(thread) }
    }

    pub fn is_now(&self, mood: Mood) {
        self.state.lock().unwrap().mood = mood;
    }

    pub fn requests(&self) -> usize {
        self.state.lock().unwrap().requests
    }

    /// `[models.NAME]`, without attempts that a turn is not told of.
    pub fn config(&self, name: &str) -> String {
        format!(
            "\n[models.{name}]\nbase_url = \"http://{}/v1\"\nmodel = \"m\"\nretries = 0\n",
            self.address
        )
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.state.lock().unwrap().ends = true;
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut length, mut line) = (0, String::new());
    while reader.read_line(&mut line)? > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        line.clear();
    }
    reader.read_exact(&mut vec![0; length])?;
    let mut stream = reader.into_inner();
    let mut state = state.lock().unwrap();
    state.requests += 1;
    match state.mood {
        Mood::Hangs => state.held.push(stream),
        Mood::Busy(seconds) => {
            let body = json!({"error": {"message": "slow down"}}).to_string();
            write!(
                stream,
                "HTTP/1.1 429 Too Many Requests\r\nRetry-After: {seconds}\r\n\
                 Content-Type: application/json\r\nContent-Length: {}\r\n\
                 Connection: close\r\n\r\n{body}",
                body.len()
            )?;
        }
        Mood::Well => {
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
            )?;
            for (delta, finish) in [(json!({"content": "hello"}), None), (json!({}), Some("stop"))]
            {
                let choices = json!([{"index": 0, "delta": delta, "finish_reason": finish}]);
                let chunk = json!({"id": "c", "object": "chat.completion.chunk", "created": 0,
                    "model": "m", "choices": choices});
                write!(stream, "data: {chunk}\n\n")?;
            }
            write!(stream, "data: [DONE]\n\n")?;
        }
    }
    Ok(())
}

/// A new session of a new agent of this model.
pub fn session(pair: &Pair, agent: &str, model: &str) -> String {
    let body = json!({"name": agent, "model": model});
    let _ = pair.expect(201, "POST", "/api/v1/agents", Some(&body));
    pair.session(agent)
}

/// The turn as it is now.
pub fn turn(pair: &Pair, turn: &str) -> serde_json::Value {
    pair.expect(200, "GET", &format!("/api/v1/turns/{turn}"), None)
}
