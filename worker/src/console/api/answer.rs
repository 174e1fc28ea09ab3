//! Answers of the worker, whole or as streams of events, and what it refuses.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use evonic_net::sse::{Decoder, Event, SseError};
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::{task::JoinSet, time::timeout};

use crate::console::error::{ConsoleError, Result};

/// How long the worker may take to answer, beside what a request asks it to wait.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest answer that is read whole.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// An answer whose body is still to come.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) body: Incoming,
    /// Serves the connection for as long as the answer lives.
    pub(super) _connection: JoinSet<()>,
}

impl Answer {
    /// The whole body.
    pub(super) async fn bytes(self) -> Result<Bytes> {
        let Self { body, _connection } = self;
        let body = Limited::new(body, MAX_ANSWER_BYTES).collect();
        let body = timeout(ANSWER_TIMEOUT, body)
            .await
            .map_err(|_| ConsoleError::Timeout { limit: ANSWER_TIMEOUT })?
            .map_err(ConsoleError::ConnectionLost)?;
        Ok(body.to_bytes())
    }

    /// The body as JSON.
    pub(super) async fn json<T: DeserializeOwned>(self) -> Result<T> {
        decode(&self.bytes().await?)
    }
}

/// An answer of any length.
#[derive(Debug)]
pub(in crate::console) struct Download {
    answer: Answer,
}

impl Download {
    pub(super) const fn new(answer: Answer) -> Self {
        Self { answer }
    }

    /// The next piece; none at the end.
    ///
    /// # Errors
    /// [`ConsoleError`] when the answer is cut, or does not go on: it is not whole.
    pub(in crate::console) async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let frame = timeout(ANSWER_TIMEOUT, self.answer.body.frame())
                .await
                .map_err(|_| ConsoleError::Timeout { limit: ANSWER_TIMEOUT })?;
            match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(ConsoleError::ConnectionLost(error.into())),
                Some(Ok(frame)) => {
                    if let Ok(piece) = frame.into_data() {
                        return Ok(Some(piece));
                    }
                }
            }
        }
    }
}

/// Decodes JSON of the worker.
pub(in crate::console) fn decode<T: DeserializeOwned>(json: &[u8]) -> Result<T> {
    serde_json::from_slice(json)
        .map_err(|source| ConsoleError::Protocol { from: "the worker", source: source.into() })
}

/// A problem (RFC 9457), as far as it is shown.
#[derive(Debug, Default, Deserialize)]
struct Problem {
    #[serde(default)]
    title: String,
    #[serde(default)]
    detail: String,
}

/// The error of an answer that is no success.
pub(super) fn refusal(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> ConsoleError {
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

/// Silence after which a stream counts as broken. The worker sends a comment every 15 s at least.
pub(in crate::console) const SILENCE_LIMIT: Duration = Duration::from_secs(45);

/// The events of one answer.
#[derive(Debug)]
pub(in crate::console) struct EventStream {
    answer: Answer,
    decoder: Decoder,
    ready: VecDeque<Result<Event, SseError>>,
}

impl EventStream {
    pub(super) fn new(answer: Answer) -> Self {
        Self { answer, decoder: Decoder::default(), ready: VecDeque::new() }
    }

    /// The next event; none when the stream ended, broke or fell silent. Cancel safe.
    pub(in crate::console) async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event?));
            }
            let frame = timeout(SILENCE_LIMIT, self.answer.body.frame()).await;
            let Ok(Some(Ok(frame))) = frame else { return Ok(None) };
            if let Some(bytes) = frame.data_ref() {
                self.ready.extend(self.decoder.push(bytes));
            }
        }
    }

    /// The pause that the worker asks for before the stream is opened again.
    pub(in crate::console) fn retry_after(&self) -> Option<Duration> {
        self.decoder.retry_ms().map(Duration::from_millis)
    }
}
