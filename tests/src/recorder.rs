//! A proxy before a model's endpoint, over real sockets: it keeps what was asked and answered.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use serde_json::Value;

/// A request and its answer.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The body as it was sent.
    pub body: Vec<u8>,
    pub status: u16,
    /// The answer's body as it came.
    pub answer: Vec<u8>,
}

impl Exchange {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("requests are JSON")
    }

    /// The last `usage` of a streamed answer.
    #[must_use]
    pub fn usage(&self) -> Option<Value> {
        let text = String::from_utf8_lossy(&self.answer);
        let usage = |line: &str| {
            let (_, data) = line.split_once("data: ")?;
            let chunk: Value = serde_json::from_str(data.trim()).ok()?;
            chunk.get("usage").filter(|usage| usage.is_object()).cloned()
        };
        text.lines().rev().find_map(usage)
    }
}

/// The running proxy.
pub struct Recorder {
    /// Where it listens.
    pub address: SocketAddr,
    upstream: SocketAddr,
    exchanges: Arc<Mutex<Vec<Exchange>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    /// Starts a proxy before what listens there.
    ///
    /// # Panics
    /// When no port can be bound.
    #[must_use]
    pub fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (exchanges, stop) = (Arc::<Mutex<Vec<_>>>::default(), Arc::new(AtomicBool::new(false)));
        let thread = {
            let (exchanges, stop) = (Arc::clone(&exchanges), Arc::clone(&stop));
            std::thread::spawn(move || {
                for client in listener.incoming() {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let exchanges = Arc::clone(&exchanges);
                    let Ok(client) = client else { continue };
                    std::thread::spawn(move || {
                        // A client that is killed in the middle is what some tests are about.
                        let _ = pass(client, upstream, &exchanges);
                    });
                }
            })
        };
        Self { address, upstream, exchanges, stop, thread: Some(thread) }
    }

    /// Every exchange so far whose answer began, in order of its request.
    ///
    /// # Panics
    /// When a thread of the proxy panicked.
    #[must_use]
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.exchanges.lock().expect("no panic").clone()
    }

    /// Asks what is behind it, past the record.
    ///
    /// # Panics
    /// When that does not answer with JSON.
    #[must_use]
    pub fn ask(&self, path: &str, body: &Value) -> Value {
        let body = body.to_string();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.upstream,
            body.len()
        );
        let asked = || -> io::Result<Vec<u8>> {
            let mut stream = TcpStream::connect(self.upstream)?;
            stream.write_all(request.as_bytes())?;
            read_message(&mut BufReader::new(stream)).map(|message| message.body)
        };
        let answer = asked().expect("an answer");
        serde_json::from_slice(&answer).expect("an answer in JSON")
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A message of HTTP with a length.
struct Message {
    head: String,
    body: Vec<u8>,
}

fn read_message(reader: &mut impl BufRead) -> io::Result<Message> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        let read = reader.read_line(&mut line)?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        if read <= 2 {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Message { head, body })
}

fn pass(
    mut client: TcpStream,
    upstream: SocketAddr,
    exchanges: &Mutex<Vec<Exchange>>,
) -> io::Result<()> {
    let Message { head, body } = read_message(&mut BufReader::new(client.try_clone()?))?;
    let mut server = TcpStream::connect(upstream)?;
    let lines = head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let head: String = lines.map(|line| format!("{line}\r\n")).collect();
    write!(server, "{head}Connection: close\r\n\r\n")?;
    server.write_all(&body)?;
    let place = {
        let mut exchanges = exchanges.lock().expect("no panic");
        exchanges.push(Exchange { body, status: 0, answer: Vec::new() });
        exchanges.len() - 1
    };
    let (mut answer, mut piece) = (Vec::new(), [0; 16 * 1024]);
    loop {
        let read = server.read(&mut piece)?;
        if read == 0 {
            break;
        }
        answer.extend_from_slice(&piece[..read]);
        keep(&answer, &mut exchanges.lock().expect("no panic")[place]);
        if client.write_all(&piece[..read]).is_err() {
            // The model is not to go on for a client that is gone.
            return server.shutdown(Shutdown::Both);
        }
    }
    client.shutdown(Shutdown::Write)
}

fn keep(answer: &[u8], exchange: &mut Exchange) {
    let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return };
    let status = answer.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
    exchange.status = status.and_then(|digits| digits.parse().ok()).unwrap_or(0);
    exchange.answer = answer[end + 4..].to_vec();
}
