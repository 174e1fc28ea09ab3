//! A model's endpoint with scripted answers, over a real socket: OpenAI-compatible, but for events
//! of another kind.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use serde_json::{Value, json};

/// One reply of the script.
#[derive(Clone, Debug)]
pub enum Scripted {
    /// Text, in these pieces, with a pause before each.
    Text(Vec<String>, Duration),
    /// The same, with a token counted for each four bytes of the request.
    Counted(Vec<String>, Duration),
    /// One call of a tool with these arguments.
    Call(String, Value),
    /// Several calls in one reply.
    Calls(Vec<(String, Value)>),
    /// These events, each under its type, as an endpoint of kind `anthropic` sends them.
    Events(Vec<Value>),
    /// This status with this body.
    Status(u16, String),
}

/// The running server.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<Value>>>,
    keys: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server that answers its n-th request with the n-th reply, and every later one with the last.
    ///
    /// # Panics
    /// When no port can be bound.
    #[must_use]
    pub fn start(script: Vec<Scripted>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let keys = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = {
            let (requests, keys) = (Arc::clone(&requests), Arc::clone(&keys));
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let script = Arc::new((script, AtomicUsize::new(0)));
                for stream in listener.incoming() {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let (requests, keys) = (Arc::clone(&requests), Arc::clone(&keys));
                    let script = Arc::clone(&script);
                    if let Ok(stream) = stream {
                        std::thread::spawn(move || {
                            // A client that went away is what some tests are about.
                            let _ = answer(stream, &script, &requests, &keys);
                        });
                    }
                }
            })
        };
        Self { address, requests, keys, stop, thread: Some(thread) }
    }

    /// The bodies of every request so far.
    ///
    /// # Panics
    /// When a thread of the server panicked.
    #[must_use]
    pub fn requests(&self) -> Vec<Value> {
        self.requests.lock().expect("no panic").clone()
    }

    /// The header `Authorization` of every request so far that had one.
    ///
    /// # Panics
    /// When a thread of the server panicked.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.keys.lock().expect("no panic").clone()
    }

    /// `[models.NAME]` of a configuration that uses this server.
    #[must_use]
    pub fn config(&self, name: &str) -> String {
        format!(
            "\n[models.{name}]\nbase_url = \"http://{}/v1\"\nmodel = \"scripted\"\n",
            self.address
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(
    stream: TcpStream,
    (script, count): &(Vec<Scripted>, AtomicUsize),
    requests: &Mutex<Vec<Value>>,
    keys: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    let mut line = String::new();
    let mut asks = false;
    while reader.read_line(&mut line)? > 2 {
        asks |= line.starts_with("GET ");
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        if line.to_ascii_lowercase().starts_with("authorization:") {
            keys.lock().expect("no panic").push(line["authorization:".len()..].trim().to_owned());
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    if let Ok(body) = serde_json::from_slice(&body) {
        requests.lock().expect("no panic").push(body);
    }
    let mut stream = reader.into_inner();
    // It has no list of models.
    if asks {
        return write!(
            stream,
            "HTTP/1.1 404 None\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }
    let number = count.fetch_add(1, Ordering::Relaxed);
    let Some(reply) = script.get(number).or(script.last()) else { return Ok(()) };
    if let Scripted::Status(status, body) = reply {
        return write!(
            stream,
            "HTTP/1.1 {status} Scripted\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
    }
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
    )?;
    if let Scripted::Events(events) = reply {
        for event in events {
            let name = event["type"].as_str().unwrap_or_default();
            write!(stream, "event: {name}\ndata: {event}\n\n")?;
        }
        return Ok(());
    }
    let mut finish = "stop";
    match reply {
        Scripted::Text(pieces, pause) | Scripted::Counted(pieces, pause) => {
            for piece in pieces {
                std::thread::sleep(*pause);
                chunk(&mut stream, &json!({"content": piece}), None)?;
            }
        }
        Scripted::Call(tool, arguments) => {
            let arguments = arguments.to_string();
            let (head, tail) = arguments.split_at(arguments.len() / 2);
            let call = json!({"tool_calls": [{"index": 0, "id": format!("call_{number}"),
                "type": "function", "function": {"name": tool, "arguments": head}}]});
            chunk(&mut stream, &call, None)?;
            let rest = json!({"tool_calls": [{"index": 0, "function": {"arguments": tail}}]});
            chunk(&mut stream, &rest, None)?;
            finish = "tool_calls";
        }
        Scripted::Calls(calls) => {
            for (index, (tool, arguments)) in calls.iter().enumerate() {
                let call = json!({"tool_calls": [{"index": index, "type": "function",
                    "id": format!("call_{number}_{index}"),
                    "function": {"name": tool, "arguments": arguments.to_string()}}]});
                chunk(&mut stream, &call, None)?;
            }
            finish = "tool_calls";
        }
        Scripted::Events(_) | Scripted::Status(..) => unreachable!("answered above"),
    }
    chunk(&mut stream, &json!({}), Some(finish))?;
    let prompt = match reply {
        Scripted::Counted(..) => length / 4,
        _ => 7,
    };
    let usage = json!({"id": "scripted", "object": "chat.completion.chunk", "created": 0,
        "model": "scripted", "choices": [],
        "usage": {"prompt_tokens": prompt, "completion_tokens": 5, "total_tokens": prompt + 5}});
    write!(stream, "data: {usage}\n\ndata: [DONE]\n\n")
}

fn chunk(stream: &mut TcpStream, delta: &Value, finish: Option<&str>) -> std::io::Result<()> {
    let chunk = json!({"id": "scripted", "object": "chat.completion.chunk", "created": 0,
        "model": "scripted",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
    write!(stream, "data: {chunk}\n\n")
}
