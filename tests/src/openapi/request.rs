//! Requests made from the document, and how they are sent.

use std::{
    fmt,
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{Document, Found, Generator, Operation, body, text};
use crate::http::{Connection, Failure};

/// What the document lets one expect of an answer, beside that it is one of those listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// It is not refused for its form.
    Fits,
    /// It is refused.
    Refused,
    /// Either.
    Any,
}

/// A request.
#[derive(Clone)]
pub struct Request {
    /// The method.
    pub method: String,
    /// Path and query, encoded.
    pub path: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    chunked: bool,
    /// What may come of it.
    pub expected: Expected,
}

/// The longest that any answer may take, on a machine that is busy.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How long a stream of events is listened to.
const LISTENING: Duration = Duration::from_millis(50);

impl Request {
    /// A request that fits, with a body of JSON where there is one.
    #[must_use]
    pub fn plain(method: &str, path: &str, body: Option<Value>) -> Self {
        let kind =
            body.as_ref().map(|_| ("Content-Type".to_owned(), "application/json".to_owned()));
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: kind.into_iter().collect(),
            body: body.map(|body| body.to_string().into_bytes()),
            chunked: false,
            expected: Expected::Fits,
        }
    }

    /// A request that fits, with a body of this type as it is.
    #[must_use]
    pub fn with_body(method: &str, path: &str, media_type: &str, body: Vec<u8>) -> Self {
        Self {
            headers: vec![("Content-Type".to_owned(), media_type.to_owned())],
            body: Some(body),
            ..Self::plain(method, path, None)
        }
    }
}

impl Generator<'_> {
    /// A request of an operation: one that fits, or one with something wrong about it.
    pub fn request(&mut self, operation: &Operation) -> Request {
        let mut request = self.fitting(operation);
        match self.rng.u8(..12) {
            0 => self.bend_method(&mut request),
            1 => self.bend_path(operation, &mut request),
            2 => self.bend_query(&mut request),
            3 => self.bend_headers(&mut request),
            4..=8 if operation.body.is_some() => self.bend_body(operation, &mut request),
            _ => {}
        }
        request
    }

    fn fitting(&mut self, operation: &Operation) -> Request {
        let name = self.name_in(&operation.template);
        let hash = "0".repeat(64);
        let mut path = operation.template.replace("{id}", &name).replace("{sha256}", &hash);
        let (mut headers, mut query) = (Vec::new(), Vec::new());
        for parameter in &operation.parameters {
            if parameter.place == "path" || self.rng.bool() {
                continue;
            }
            let value = match self.value(&parameter.schema, &parameter.name) {
                Value::String(text) => text,
                value => value.to_string(),
            };
            match parameter.place.as_str() {
                "query" => query.push(format!("{}={}", parameter.name, text::encoded(&value))),
                _ => headers.push((parameter.name.clone(), value)),
            }
        }
        if !query.is_empty() {
            path = format!("{path}?{}", query.join("&"));
        }
        let body = operation.body.as_ref().map(|body| self.value(&body.schema, ""));
        // How long a head may be does not stand in the document.
        let length = path.len() + headers.iter().map(|(_, value)| value.len()).sum::<usize>();
        let mut request = Request {
            method: operation.method.clone(),
            path,
            headers,
            body: None,
            chunked: self.rng.u8(..8) == 0,
            expected: if length > 4000 || operation.has_other_body {
                Expected::Any
            } else {
                Expected::Fits
            },
        };
        if let Some(body) = body {
            self.set_body(operation, &mut request, &body);
            request.headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
        }
        request
    }

    fn set_body(&self, operation: &Operation, request: &mut Request, value: &Value) {
        let Some(body) = &operation.body else { return };
        let bytes = value.to_string().into_bytes();
        request.expected = if !body.validator.is_valid(value) {
            Expected::Refused
        } else if operation.id == "changeWorkplace" || bytes.len() > 1 << 20 {
            // Which settings there are is known by the kind, which does not stand in the request.
            Expected::Any
        } else {
            request.expected
        };
        request.body = Some(bytes);
    }

    fn bend_method(&mut self, request: &mut Request) {
        let methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "LOCK"];
        methods[self.rng.usize(..methods.len())].clone_into(&mut request.method);
        request.expected = Expected::Any;
    }

    fn bend_path(&mut self, operation: &Operation, request: &mut Request) {
        let odd = text::odd(&mut self.rng);
        request.path = match self.rng.u8(..5) {
            0 => format!("{}/{}", operation.template, text::encoded(&odd)),
            1 => operation.template.clone(),
            2 => format!("{}/", request.path),
            3 => format!("/{}", request.path),
            _ => {
                let odd = text::encoded(&odd);
                operation.template.replace("{id}", &odd).replace("{sha256}", &odd)
            }
        };
        request.expected = Expected::Any;
    }

    fn bend_query(&mut self, request: &mut Request) {
        let names = ["limit", "after", "wait", "agent", "until_turn", "workplace", "unknown"];
        let name = names[self.rng.usize(..names.len())];
        let odd = text::encoded(&text::odd(&mut self.rng));
        let separator = if request.path.contains('?') { '&' } else { '?' };
        request.path = format!("{}{separator}{name}={odd}", request.path);
        // A query that is too long is refused before it is looked at; anything may be what `after`
        // was.
        request.expected = if name == "unknown" { Expected::Refused } else { Expected::Any };
    }

    fn bend_headers(&mut self, request: &mut Request) {
        let odd: String =
            text::odd(&mut self.rng).chars().filter(|c| !c.is_control()).take(9000).collect();
        let names = [
            "Content-Type",
            "Idempotency-Key",
            "Last-Event-ID",
            "X-Request-Id",
            "Accept",
            "Content-Encoding",
            "Authorization",
            "Origin",
            "Host",
            "Forwarded",
            "X-Forwarded-For",
            "Expect",
            "Range",
        ];
        let name = names[self.rng.usize(..names.len())];
        if self.rng.bool() {
            request.headers.retain(|(given, _)| given != name);
        }
        request.headers.push((name.to_owned(), odd));
        request.expected = Expected::Any;
    }

    fn bend_body(&mut self, operation: &Operation, request: &mut Request) {
        let Some(body) = &request.body else { return };
        let mut value: Value = serde_json::from_slice(body).unwrap_or_default();
        match self.rng.u8(..4) {
            0 => {
                request.body = Some(body::spoiled(&value, &mut self.rng));
                request.expected = Expected::Any;
            }
            1 => {
                let kinds = ["text/plain", "application/x-www-form-urlencoded", "", "json"];
                let kind = kinds[self.rng.usize(..kinds.len())];
                request.headers.retain(|(name, _)| name != "Content-Type");
                request.headers.push(("Content-Type".to_owned(), kind.to_owned()));
                request.expected = Expected::Refused;
            }
            _ => {
                body::changed(&mut value, &mut self.rng);
                self.set_body(operation, request, &value);
            }
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = self.body.as_deref().map(String::from_utf8_lossy);
        let cut = |text: &str| text.chars().take(600).collect::<String>();
        write!(f, "{} {}", self.method, cut(&self.path))?;
        for (name, value) in &self.headers {
            write!(f, " | {name}: {}", cut(value))?;
        }
        match body {
            Some(body) => write!(f, " | {} bytes: {}", body.len(), cut(&body)),
            None => Ok(()),
        }
    }
}

/// Sends requests over one connection as long as it lasts.
pub struct Sender {
    address: SocketAddr,
    key: Option<String>,
    connection: Option<(Connection, TcpStream)>,
}

impl Sender {
    /// To this address, with this key where one is needed.
    #[must_use]
    pub fn new(address: SocketAddr, key: Option<String>) -> Self {
        Self { address, key, connection: None }
    }

    /// Sends a request and reads its answer; of a stream what comes soon.
    ///
    /// # Errors
    /// When no answer comes, or one that is not HTTP.
    pub fn send(&mut self, request: &Request) -> Result<Found, String> {
        let began = Instant::now();
        let (mut connection, stream) = match self.connection.take() {
            Some(open) => open,
            None => self.connect().map_err(|failure| format!("no connection: {failure:?}"))?,
        };
        // What was refused early is answered before it is sent whole.
        let _ = connection.send(&self.bytes(request));
        let failed = |failure| format!("{failure:?} after {:?}", began.elapsed());
        let (status, headers) = connection.head().map_err(failed)?;
        let mut found = Found { status, headers, body: Vec::new(), whole: true };
        if found.header("content-type") == Some("text/event-stream") && request.method != "HEAD" {
            listen(&mut connection, &stream, &mut found).map_err(failed)?;
            return Ok(found);
        }
        if request.method != "HEAD" && status != 204 {
            found.body = connection.body(&found.headers).map_err(failed)?;
        }
        if !connection.is_closing() {
            self.connection = Some((connection, stream));
        }
        Ok(found)
    }

    fn connect(&self) -> Result<(Connection, TcpStream), Failure> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok((Connection::over(Box::new(stream.try_clone()?)), stream))
    }

    fn bytes(&self, request: &Request) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", request.method, request.path);
        let mut add = |name: &str, value: &str| text.push_str(&format!("{name}: {value}\r\n"));
        let given = |name: &str| request.headers.iter().any(|(given, _)| given == name);
        if !given("Host") {
            add("Host", "localhost");
        }
        if let Some(key) = &self.key
            && !given("Authorization")
        {
            add("Authorization", &format!("Bearer {key}"));
        }
        for (name, value) in &request.headers {
            add(name, value);
        }
        let body = request.body.as_deref().unwrap_or_default();
        if request.body.is_some() && request.chunked {
            add("Transfer-Encoding", "chunked");
        } else if request.body.is_some() {
            add("Content-Length", &body.len().to_string());
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        if request.body.is_some() && request.chunked {
            for piece in body.chunks(1000) {
                bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                bytes.extend_from_slice(piece);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
        } else {
            bytes.extend_from_slice(body);
        }
        bytes
    }
}

/// Reads a stream to its end, or as long as something comes soon.
fn listen(
    connection: &mut Connection,
    stream: &TcpStream,
    found: &mut Found,
) -> Result<(), Failure> {
    stream.set_read_timeout(Some(LISTENING))?;
    loop {
        match connection.chunk() {
            Ok(Some(chunk)) => found.body.extend(chunk),
            Ok(None) => return Ok(()),
            Err(Failure::Timeout) => {
                found.whole = false;
                return Ok(());
            }
            Err(failure) => return Err(failure),
        }
    }
}

impl Document {
    /// Checks an answer against the document and what was expected of the request.
    ///
    /// # Errors
    /// What is not as documented.
    pub fn judge(&self, request: &Request, found: &Found) -> Result<(), String> {
        let (status, expected) = (found.status, request.expected);
        self.check(&request.method, &request.path, found)?;
        let of_form = [400, 405, 408, 411, 413, 414, 415, 431].contains(&status);
        match expected {
            Expected::Fits if of_form => Err("refused for its form, which fits".to_owned()),
            Expected::Refused if !(400..500).contains(&status) && status != 503 => {
                Err("not refused, though its form does not fit".to_owned())
            }
            _ => Ok(()),
        }
    }
}
