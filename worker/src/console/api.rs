//! The client of the worker's API: HTTP/1.1 over its Unix socket or TCP, one connection a request.

use std::{
    io,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    task::JoinSet,
    time::timeout,
};

use super::{
    error::ConsoleError,
    server::{Server, Trust},
};
use evonic_store::List;

/// How long the worker may take to answer, beside what a request asks it to wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest answer that is read whole.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// The first pause before a request is made again; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The longest pause before a request is made again.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The worker's API.
#[derive(Clone, Debug)]
pub(super) struct Api {
    server: Server,
}

/// A connection of either kind.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// An answer whose body is still to come.
#[derive(Debug)]
pub(super) struct Answer {
    /// The body.
    pub(super) body: Incoming,
    /// Serves the connection for as long as the answer lives.
    _connection: JoinSet<()>,
}

/// A problem (RFC 9457), as far as it is shown.
#[derive(Debug, Default, Deserialize)]
struct Problem {
    #[serde(default)]
    title: String,
    #[serde(default)]
    detail: String,
}

impl Api {
    /// The API of this worker.
    pub(super) const fn of(server: Server) -> Self {
        Self { server }
    }

    /// Reads a resource; a passing failure is tried again for as long as `patience`.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        patience: Duration,
    ) -> Result<T, ConsoleError> {
        retry(patience, async || {
            let request = request(Method::GET, path).body(Full::default());
            decode(self.send(built(request)).await?).await
        })
        .await
    }

    /// Asks whether every part of the worker is ready, again and again for as long as `patience`.
    ///
    /// # Errors
    /// [`ConsoleError::Refused`] that names the parts that are not.
    pub(super) async fn ready(&self, patience: Duration) -> Result<(), ConsoleError> {
        retry(patience, async || {
            let request = whole_path(Method::GET, "/readyz").body(Full::default());
            whole(self.send(built(request)).await?).await.map(drop)
        })
        .await
    }

    /// Every entry of a list, page by page.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        patience: Duration,
    ) -> Result<Vec<T>, ConsoleError> {
        let mut entries = Vec::new();
        let mut after = String::new();
        loop {
            let page: List<T> = self.get(&format!("{path}?limit=200{after}"), patience).await?;
            entries.extend(page.data);
            match page.next {
                Some(cursor) => after = format!("&after={}", cursor.0),
                None => return Ok(entries),
            }
        }
    }

    /// Posts a body. With a key it is tried again after a passing failure, and takes effect once.
    pub(super) async fn post<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
        key: Option<(&str, Duration)>,
    ) -> Result<T, ConsoleError> {
        let body = serde_json::to_vec(body).expect("bodies have string keys");
        let patience = key.map_or(Duration::ZERO, |(_, patience)| patience);
        retry(patience, async || {
            let mut request =
                request(Method::POST, path).header(header::CONTENT_TYPE, "application/json");
            if let Some((key, _)) = key {
                request = request.header("idempotency-key", format!("\"{key}\""));
            }
            decode(self.send(built(request.body(Full::from(body.clone())))).await?).await
        })
        .await
    }

    /// Changes a resource.
    pub(super) async fn patch<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, ConsoleError> {
        let body = serde_json::to_vec(body).expect("bodies have string keys");
        let request = request(Method::PATCH, path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(body));
        decode(self.send(built(request)).await?).await
    }

    /// Asks for work that may be done twice; the answer is a stream of what it says.
    pub(super) async fn tell(&self, path: &str) -> Result<Answer, ConsoleError> {
        retry(PATIENCE, async || {
            let request = request(Method::POST, path)
                .header(header::ACCEPT, "text/event-stream")
                .body(Full::default());
            self.send(built(request)).await
        })
        .await
    }

    /// Asks for work with a body, once; the answer is a stream of what it says.
    pub(super) async fn tell_about<B: Serialize>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<Answer, ConsoleError> {
        let body = serde_json::to_vec(body).expect("bodies have string keys");
        let request = request(Method::POST, path)
            .header(header::ACCEPT, "text/event-stream")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(body));
        self.send(built(request)).await
    }

    /// Posts without a body to what may be asked for twice.
    pub(super) async fn command(&self, path: &str, patience: Duration) -> Result<(), ConsoleError> {
        retry(patience, async || {
            let request = request(Method::POST, path).body(Full::default());
            self.send(built(request)).await.map(drop)
        })
        .await
    }

    /// Deletes a resource.
    pub(super) async fn delete(&self, path: &str) -> Result<(), ConsoleError> {
        let request = request(Method::DELETE, path).body(Full::default());
        self.send(built(request)).await.map(drop)
    }

    /// Opens a stream of events, behind the event with this number.
    pub(super) async fn events(&self, path: &str, after: u64) -> Result<Answer, ConsoleError> {
        let request = request(Method::GET, path)
            .header(header::ACCEPT, "text/event-stream")
            .header("last-event-id", after)
            .body(Full::default());
        self.send(built(request)).await
    }

    /// Sends one request on a connection of its own; the answer to a refused one is an error.
    async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<Answer, ConsoleError> {
        let stream = self.connect().await?;
        if let Server::Tcp { authority, key, .. } = &self.server {
            let headers = request.headers_mut();
            headers.insert(header::HOST, header_of(authority.as_str()));
            if let Some(key) = key {
                let mut value = header_of(&format!("Bearer {}", key.reveal()));
                value.set_sensitive(true);
                headers.insert(header::AUTHORIZATION, value);
            }
        }
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            // How the connection ends is seen by who reads the answer.
            let _ = connection.await;
        });
        let response = timeout(PATIENCE, sender.send_request(request))
            .await
            .map_err(|_| ConsoleError::Silent { patience: PATIENCE })?
            .map_err(broken)?;
        let (head, body) = response.into_parts();
        let answer = Answer { body, _connection: connections };
        if head.status.is_success() {
            return Ok(answer);
        }
        let refused = refusal(head.status, &head.headers, &whole(answer).await.unwrap_or_default());
        Err(match (refused, &self.server) {
            // Here it is about the key, whoever the user is.
            (ConsoleError::Forbidden { message }, Server::Tcp { .. }) => {
                ConsoleError::KeyRefused { message }
            }
            (refused, _) => refused,
        })
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the console is a client in a process of its own, outside the worker's budget"
    )]
    async fn connect(&self) -> Result<Box<dyn Stream>, ConsoleError> {
        match &self.server {
            Server::Unix(socket) => match UnixStream::connect(socket).await {
                Ok(stream) => Ok(Box::new(stream)),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    let message = format!("{} is not for this user", socket.display());
                    Err(ConsoleError::Forbidden { message })
                }
                Err(source) => {
                    Err(ConsoleError::NotRunning { place: socket.display().to_string(), source })
                }
            },
            Server::Tcp { authority, trust, .. } => {
                let place = match authority.port_u16() {
                    Some(_) => authority.to_string(),
                    None => format!("{authority}:443"),
                };
                let silent = |_| ConsoleError::Silent { patience: PATIENCE };
                let connected = timeout(PATIENCE, TcpStream::connect(place.as_str())).await;
                let stream = match connected.map_err(silent)? {
                    Ok(stream) => stream,
                    Err(source) => return Err(ConsoleError::NotRunning { place, source }),
                };
                let Some(Trust { connector, name }) = trust else { return Ok(Box::new(stream)) };
                let shaken = timeout(PATIENCE, connector.connect(name.clone(), stream)).await;
                match shaken.map_err(silent)? {
                    Ok(stream) => Ok(Box::new(stream)),
                    Err(source) => Err(ConsoleError::NotTrusted { place, source }),
                }
            }
        }
    }
}

/// A header's value of what was checked to be visible ASCII.
fn header_of(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("authorities and keys are visible ASCII")
}

/// A request to a path of the API.
fn request(method: Method, path: &str) -> http::request::Builder {
    whole_path(method, &format!("/api/v1{path}"))
}

fn whole_path(method: Method, path: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "localhost")
        .header(header::USER_AGENT, concat!("evonic/", env!("CARGO_PKG_VERSION")))
}

fn built(request: http::Result<Request<Full<Bytes>>>) -> Request<Full<Bytes>> {
    request.expect("paths are made of checked segments")
}

/// Escapes what a person wrote, so that it is one segment of a path.
pub(super) fn segment(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'~');
    text.bytes()
        .map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

fn broken(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ConsoleError {
    ConsoleError::Broken(source.into())
}

fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> ConsoleError {
    let problem: Problem = serde_json::from_slice(body).unwrap_or_default();
    let title = match problem.title.as_str() {
        "" => status.canonical_reason().unwrap_or("The worker refused").to_owned(),
        title => title.to_owned(),
    };
    if status == StatusCode::UNAUTHORIZED {
        return ConsoleError::KeyRefused { message: problem.detail };
    }
    if status == StatusCode::FORBIDDEN {
        let message = if problem.detail.is_empty() { title } else { problem.detail };
        return ConsoleError::Forbidden { message };
    }
    let retry_after = headers
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .map(Duration::from_secs);
    ConsoleError::Refused { status: status.as_u16(), title, detail: problem.detail, retry_after }
}

async fn whole(answer: Answer) -> Result<Bytes, ConsoleError> {
    let Answer { body, _connection } = answer;
    let body = Limited::new(body, MAX_ANSWER_BYTES).collect();
    let body = timeout(PATIENCE, body)
        .await
        .map_err(|_| ConsoleError::Silent { patience: PATIENCE })?
        .map_err(ConsoleError::Broken)?;
    Ok(body.to_bytes())
}

async fn decode<T: DeserializeOwned>(answer: Answer) -> Result<T, ConsoleError> {
    let body = whole(answer).await?;
    serde_json::from_slice(&body)
        .map_err(|source| ConsoleError::Protocol { from: "the worker", source: source.into() })
}

/// Tries until it is answered, refused for good, or `patience` is over: the worker may be on its
/// way out, with another one on its way in. A socket that nobody listens on is no passing failure:
/// the supervisor holds it whatever its workers do.
async fn retry<T>(
    patience: Duration,
    mut attempt: impl AsyncFnMut() -> Result<T, ConsoleError>,
) -> Result<T, ConsoleError> {
    let began = Instant::now();
    let mut pauses = Pauses::default();
    loop {
        match attempt().await {
            Err(error) if error.is_passing() && began.elapsed() < patience => {
                pauses.pause(error.retry_after()).await;
            }
            result => return result,
        }
    }
}

/// Pauses that grow, with jitter.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    made: u32,
}

impl Pauses {
    /// Waits, at least as long as was asked for.
    pub(super) async fn pause(&mut self, at_least: Option<Duration>) {
        let full = (FIRST_PAUSE * 2_u32.saturating_pow(self.made)).min(LONGEST_PAUSE);
        self.made = self.made.saturating_add(1).min(16);
        let jittered = full.mul_f64(0.5 + fastrand::f64() / 2.0);
        tokio::time::sleep(jittered.max(at_least.unwrap_or_default())).await;
    }
}

#[cfg(test)]
mod tests;
