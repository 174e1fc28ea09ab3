//! A byte-exact HTTP/1.1 client that tells refused, reset and cut short apart.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value;

/// How a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection: refused, or the listener is gone.
    Refused,
    /// The connection was reset.
    Reset,
    /// The connection ended before the answer did.
    CutShort,
    /// No answer in time.
    Timeout,
    /// Not HTTP.
    Malformed,
}

impl Failure {
    fn of(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::ConnectionRefused | ErrorKind::NotFound | ErrorKind::AddrNotAvailable => {
                Failure::Refused
            }
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => {
                Failure::Reset
            }
            ErrorKind::UnexpectedEof => Failure::CutShort,
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Failure::Timeout,
            _ => Failure::Malformed,
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::of(&error)
    }
}

/// A stream of either kind.
pub trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.text()))
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Files with the admin keys by address, registered by each pair when it is asked for
/// its own.
static KEYS: Mutex<BTreeMap<SocketAddr, PathBuf>> = Mutex::new(BTreeMap::new());

/// From now on, connections to this address show the key of this file.
pub fn register_key(address: SocketAddr, file: PathBuf) {
    KEYS.lock().unwrap_or_else(PoisonError::into_inner).insert(address, file);
}

fn key_for(address: SocketAddr) -> Option<String> {
    let keys = KEYS.lock().unwrap_or_else(PoisonError::into_inner);
    let file = keys.get(&address)?.clone();
    drop(keys);
    // None before the first start made it.
    Some(fs::read_to_string(file).ok()?.trim_end().to_owned())
}

/// One connection.
pub struct Connection {
    stream: BufReader<Box<dyn Stream>>,
    /// Shown by every request that shows none of its own.
    key: Option<String>,
    closing: bool,
    begun: bool,
}

/// How long a client waits for a piece of an answer.
pub const TIMEOUT: Duration = Duration::from_secs(70);

impl Connection {
    /// Connects over TCP. Its requests show the admin key of the pair that serves there.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn tcp(address: SocketAddr) -> Result<Self, Failure> {
        let mut connection = Self::tcp_without_key(address)?;
        connection.key = key_for(address);
        Ok(connection)
    }

    /// Connects over TCP without a key.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn tcp_without_key(address: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(Self::over(Box::new(stream)))
    }

    /// Shows this key instead of its own.
    #[must_use]
    pub fn showing(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    /// Connects over a Unix socket.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn unix(path: &Path) -> Result<Self, Failure> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(Self::over(Box::new(stream)))
    }

    /// Speaks over a stream that is connected already.
    #[must_use]
    pub fn over(stream: Box<dyn Stream>) -> Self {
        Self { stream: BufReader::new(stream), key: None, closing: false, begun: false }
    }

    /// Whether the server said that it closes the connection.
    #[must_use]
    pub const fn is_closing(&self) -> bool {
        self.closing
    }

    /// Whether the last answer began to come: then its handler had finished it.
    #[must_use]
    pub const fn has_begun(&self) -> bool {
        self.begun
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        Ok(self.stream.get_mut().write_all(bytes)?)
    }

    /// Sends a request and reads its whole answer.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        self.ask(method, path, headers, body)?;
        self.answer()
    }

    /// Sends a request, with its key.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<(), Failure> {
        let value = self.key.as_ref().map(|key| format!("Bearer {key}"));
        let mut headers = headers.to_vec();
        headers.extend(value.as_deref().map(|value| ("Authorization", value)));
        self.send(&encode(method, path, &headers, body))
    }

    /// Reads one whole answer.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn answer(&mut self) -> Result<Answer, Failure> {
        let (status, headers) = self.head()?;
        let body = match status {
            ..200 | 204 | 304 => Vec::new(),
            _ => self.body(&headers)?,
        };
        Ok(Answer { status, headers, body })
    }

    /// Reads the body that follows these headers.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn body(&mut self, headers: &[(String, String)]) -> Result<Vec<u8>, Failure> {
        let find = |name: &str| headers.iter().find(|(key, _)| key == name).map(|(_, value)| value);
        let mut body = Vec::new();
        if find("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
            while let Some(chunk) = self.chunk()? {
                body.extend_from_slice(&chunk);
            }
        } else if let Some(length) = find("content-length") {
            body.resize(length.parse().map_err(|_| Failure::Malformed)?, 0);
            self.stream.read_exact(&mut body)?;
        } else {
            self.stream.read_to_end(&mut body)?;
        }
        Ok(body)
    }

    /// Reads an answer's status line and headers.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn head(&mut self) -> Result<(u16, Vec<(String, String)>), Failure> {
        self.begun = false;
        self.begun = !self.stream.fill_buf()?.is_empty();
        let line = self.line()?;
        let status = line
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3))
            .and_then(|code| code.parse().ok())
            .ok_or(Failure::Malformed)?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or(Failure::Malformed)?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        self.closing =
            headers.iter().any(|(name, value)| name == "connection" && value.contains("close"));
        Ok((status, headers))
    }

    /// Reads one chunk of a chunked body; [`None`] at its proper end.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn chunk(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        let size =
            usize::from_str_radix(self.line()?.trim(), 16).map_err(|_| Failure::Malformed)?;
        let mut chunk = vec![0; size];
        self.stream.read_exact(&mut chunk)?;
        let mut end = [0; 2];
        self.stream.read_exact(&mut end)?;
        Ok((size > 0).then_some(chunk))
    }

    fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 || !line.ends_with('\n') {
            return Err(Failure::CutShort);
        }
        line.truncate(line.trim_end_matches(['\r', '\n']).len());
        Ok(line)
    }
}

/// A request as bytes.
#[must_use]
pub fn encode(method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    let body = body.map(Value::to_string);
    if let Some(body) = &body {
        text.push_str(&format!(
            "Content-Type: application/json\r\nContent-Length: {}\r\n",
            body.len()
        ));
    }
    text.push_str("\r\n");
    text.push_str(body.as_deref().unwrap_or(""));
    text.into_bytes()
}

/// One event of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SseEvent {
    /// `id:`, 0 when absent.
    pub id: u64,
    /// `event:`.
    pub name: String,
    /// `data:`.
    pub data: String,
    /// The event's exact bytes.
    pub raw: String,
}

impl SseEvent {
    /// The data as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).expect("event data is JSON")
    }
}

/// An open event stream.
pub struct EventStream {
    connection: Connection,
    buffer: String,
}

impl EventStream {
    /// Opens the stream of a session after an event.
    ///
    /// # Errors
    /// [`Failure`]; another status than 200 is [`Failure::Malformed`].
    pub fn open(mut connection: Connection, session: &str, after: u64) -> Result<Self, Failure> {
        let after = after.to_string();
        let path = format!("/api/v1/sessions/{session}/events");
        connection.ask("GET", &path, &[("Last-Event-ID", &after)], None)?;
        let (status, _) = connection.head()?;
        if status == 200 {
            Ok(Self { connection, buffer: String::new() })
        } else {
            Err(Failure::Malformed)
        }
    }

    /// The next event; [`None`] when the stream ended properly, at an event's end. Comments and
    /// bare `retry:` fields are passed over.
    ///
    /// # Errors
    /// [`Failure`]; a stream that ends within an event is [`Failure::CutShort`].
    pub fn next_event(&mut self) -> Result<Option<SseEvent>, Failure> {
        loop {
            while let Some(end) = self.buffer.find("\n\n") {
                let raw: String = self.buffer.drain(..end + 2).collect();
                if let Some(event) = parse(&raw) {
                    return Ok(Some(event));
                }
            }
            match self.connection.chunk()? {
                Some(chunk) => {
                    self.buffer
                        .push_str(std::str::from_utf8(&chunk).map_err(|_| Failure::Malformed)?);
                }
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(Failure::CutShort),
            }
        }
    }
}

fn parse(raw: &str) -> Option<SseEvent> {
    let field = |name: &str| {
        raw.lines().find_map(|line| line.strip_prefix(name)).map(|v| v.trim_start().to_owned())
    };
    Some(SseEvent {
        id: field("id:").and_then(|id| id.parse().ok()).unwrap_or(0),
        name: field("event:")?,
        data: field("data:")?,
        raw: raw.to_owned(),
    })
}
