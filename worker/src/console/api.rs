//! The client of the worker's API: HTTP/1.1 over its Unix socket or TCP, one connection a request.

mod answer;
mod retry;

use std::{error::Error, time::Duration};

use bytes::Bytes;
use evonic_store::List;
use http::{HeaderValue, Method, Request, header, request::Builder};
use http_body::Body;
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{task::JoinSet, time::timeout};

use answer::{ANSWER_TIMEOUT, Answer, refusal};
use retry::retry;

pub(super) use answer::{Download, EventStream, SILENCE_LIMIT, decode};
pub(super) use retry::RetryPause;

use super::{
    error::{ConsoleError, Result},
    server::Server,
};

/// How long a read is tried again where a command has no reason of its own.
const READ_RETRY: Duration = Duration::from_secs(10);

/// How long a file may take to be sent and taken. The worker itself ends one that pauses.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

/// The most entries that are asked for at once.
const PAGE_LIMIT: usize = 200;

/// The worker's API.
#[derive(Clone, Debug)]
pub(super) struct Api {
    server: Server,
    /// How long a read, or what may be asked for twice, is tried again after a transient failure.
    retry_for: Duration,
}

impl Api {
    pub(super) const fn new(server: Server) -> Self {
        Self { server, retry_for: READ_RETRY }
    }

    /// The same API, with another limit of retries.
    pub(super) fn retrying(&self, retry_for: Duration) -> Self {
        Self { server: self.server.clone(), retry_for }
    }

    /// Reads a resource.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let get = async || self.send(bare(request(Method::GET, path))).await?.json().await;
        retry(self.retry_for, get).await
    }

    /// Asks whether every part of the worker is ready, until it is.
    ///
    /// # Errors
    /// [`ConsoleError::Refused`] that names the parts that are not.
    pub(super) async fn ready(&self) -> Result {
        let ask = async || self.send(bare(absolute_request(Method::GET, "/readyz"))).await;
        retry(self.retry_for, async || ask().await?.bytes().await.map(drop)).await
    }

    /// Every entry of a list, page by page.
    pub(super) async fn list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>> {
        self.first(path, usize::MAX).await
    }

    /// The first entries of a list, page by page. The path may have a query.
    pub(super) async fn first<T: DeserializeOwned>(
        &self,
        path: &str,
        most: usize,
    ) -> Result<Vec<T>> {
        let mark = if path.contains('?') { '&' } else { '?' };
        let mut entries = Vec::new();
        let mut after = String::new();
        while entries.len() < most {
            let limit = PAGE_LIMIT.min(most - entries.len());
            let page: List<T> = self.get(&format!("{path}{mark}limit={limit}{after}")).await?;
            entries.extend(page.data);
            let Some(cursor) = page.next else { break };
            after = format!("&after={}", cursor.0);
        }
        Ok(entries)
    }

    /// Posts a body, once.
    pub(super) async fn post<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T> {
        self.send(with_json(request(Method::POST, path), body)).await?.json().await
    }

    /// Posts a body under a key: it is tried again after a transient failure, and takes effect once.
    pub(super) async fn post_idempotent<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T> {
        let key = format!("\"{}\"", uuid::Uuid::now_v7());
        let post = async || {
            let request = request(Method::POST, path).header("idempotency-key", key.as_str());
            self.send(with_json(request, body)).await?.json().await
        };
        retry(self.retry_for, post).await
    }

    /// Uploads a content, which may be done twice: `open` begins it anew.
    pub(super) async fn upload<B, T>(
        &self,
        path: &str,
        mut open: impl FnMut() -> Result<B>,
    ) -> Result<T>
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static,
        T: DeserializeOwned,
    {
        let post = async || {
            let request = request(Method::POST, path).body(open()?);
            let request = request.expect("a path of this program's own");
            self.send_within(request, UPLOAD_TIMEOUT).await?.json().await
        };
        retry(self.retry_for, post).await
    }

    /// Posts without a body to what may be asked for twice.
    pub(super) async fn post_empty(&self, path: &str) -> Result {
        let post = async || self.send(bare(request(Method::POST, path))).await.map(drop);
        retry(self.retry_for, post).await
    }

    /// Posts without a body to what may be asked for twice; its answer.
    pub(super) async fn post_bare<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let post = async || self.send(bare(request(Method::POST, path))).await?.json().await;
        retry(self.retry_for, post).await
    }

    /// Changes a resource.
    pub(super) async fn patch<B: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T> {
        self.send(with_json(request(Method::PATCH, path), body)).await?.json().await
    }

    /// Deletes a resource.
    pub(super) async fn delete(&self, path: &str) -> Result {
        self.send(bare(request(Method::DELETE, path))).await.map(drop)
    }

    /// Asks for work that may be done twice; the answer is its progress.
    pub(super) async fn stream_progress(&self, path: &str) -> Result<EventStream> {
        let post = async || self.stream(bare(accepting_events(request(Method::POST, path)))).await;
        retry(ANSWER_TIMEOUT, post).await
    }

    /// Asks for work with a body, once; the answer is its progress.
    pub(super) async fn stream_progress_of<B: Serialize>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<EventStream> {
        self.stream(with_json(accepting_events(request(Method::POST, path)), body)).await
    }

    /// Opens a stream of events, behind the event with this number.
    pub(super) async fn events(&self, path: &str, after: u64) -> Result<EventStream> {
        let request = accepting_events(request(Method::GET, path)).header("last-event-id", after);
        self.stream(bare(request)).await
    }

    /// Asks for an answer of any length, to be taken piece by piece.
    pub(super) async fn download(&self, path: &str) -> Result<Download> {
        let get = async || self.send(bare(request(Method::GET, path))).await;
        retry(self.retry_for, get).await.map(Download::new)
    }

    /// Sends lines of JSON of any length, once.
    pub(super) async fn upload_lines<B, T>(&self, path: &str, body: B) -> Result<T>
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static,
        T: DeserializeOwned,
    {
        let request = request(Method::POST, path)
            .header(header::CONTENT_TYPE, "application/x-ndjson")
            .body(body)
            .expect("paths are made of checked segments");
        // It is answered when all of it was taken.
        self.send_within(request, UPLOAD_TIMEOUT).await?.json().await
    }

    async fn stream(&self, request: Request<Full<Bytes>>) -> Result<EventStream> {
        self.send(request).await.map(EventStream::new)
    }

    /// Sends one request on a connection of its own; the answer to a refused one is an error.
    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer> {
        self.send_within(request, ANSWER_TIMEOUT).await
    }

    async fn send_within<B>(&self, mut request: Request<B>, limit: Duration) -> Result<Answer>
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + Unpin + 'static,
    {
        let stream = self.server.connect().await?;
        let headers = request.headers_mut();
        if let Server::Tcp { authority, .. } = &self.server {
            headers.insert(header::HOST, header_value(authority.as_str()));
        }
        if let Some(key) = self.server.key() {
            let mut value = header_value(&format!("Bearer {}", key.reveal()));
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        let lost = |error: hyper::Error| ConsoleError::ConnectionLost(error.into());
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            // How the connection ends is seen by who reads the answer.
            let _ = connection.await;
        });
        let response = timeout(limit, sender.send_request(request))
            .await
            .map_err(|_| ConsoleError::Timeout { limit })?
            .map_err(lost)?;
        let (head, body) = response.into_parts();
        let answer = Answer { body, _connection: connections };
        if head.status.is_success() {
            return Ok(answer);
        }
        let body = answer.bytes().await.unwrap_or_default();
        Err(match (refusal(head.status, &head.headers, &body), &self.server) {
            (ConsoleError::KeyRefused { .. }, Server::Unix { missing: Some(reason), .. }) => {
                ConsoleError::KeyMissing { reason: reason.clone() }
            }
            // Here it is about the key, whoever the user is.
            (ConsoleError::Forbidden { message }, server) if server.key().is_some() => {
                ConsoleError::KeyRefused { message }
            }
            (refused, _) => refused,
        })
    }
}

/// A header's value of what was checked to be visible ASCII.
fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("authorities and keys are visible ASCII")
}

/// A request to a path of the API.
fn request(method: Method, path: &str) -> Builder {
    absolute_request(method, &format!("/api/v1{path}"))
}

fn absolute_request(method: Method, path: &str) -> Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "localhost")
        .header(header::USER_AGENT, concat!("evonic/", env!("CARGO_PKG_VERSION")))
}

fn accepting_events(request: Builder) -> Builder {
    request.header(header::ACCEPT, "text/event-stream")
}

fn bare(request: Builder) -> Request<Full<Bytes>> {
    request.body(Full::default()).expect("paths are made of checked segments")
}

fn with_json<B: Serialize>(request: Builder, body: &B) -> Request<Full<Bytes>> {
    let body = serde_json::to_vec(body).expect("bodies have string keys");
    request
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::from(body))
        .expect("paths are made of checked segments")
}

/// Escapes what a person wrote, so that it is one segment of a path.
pub(super) fn segment(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'~');
    text.bytes()
        .map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

#[cfg(test)]
mod tests;
