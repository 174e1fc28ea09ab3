//! One attempt: one request, one answer, one connection.

use std::{future::Future, time::Duration};

use bytes::Bytes;
use evonic_domain::Usage;
use evonic_shared::error_chain::ErrorChain;
use http::{Method, Response, Uri, header};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::{
    Remote,
    answer::{Added, Answer, Finished},
    connection::Connection,
    endpoint_error::EndpointError,
    failure::Failure,
    wait_hint,
};
use crate::{
    body::{BlobError, JsonWriter, RequestBody},
    request::Sink,
};

/// The most bytes that are read of an answer which is an error.
const MAX_ERROR_BYTES: usize = 64 * 1024;

/// How long, in all, the count of tokens and the end of the answer may take to follow a reply that is
/// complete.
const TAIL_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the body of an error may take.
const ERROR_TIMEOUT: Duration = Duration::from_secs(5);

/// Asks for a reply, and reads it; its pieces go to the sink. `usage` is what was counted, also of a
/// reply that fails.
///
/// # Errors
/// [`Failure`]; the connection is closed then, as it is at the end.
pub(super) async fn reply(
    model: &Remote,
    body: RequestBody,
    mut answer: Answer,
    sink: &mut Sink<'_>,
    usage: &mut Usage,
) -> Result<Finished, Failure> {
    let first_token = Instant::now() + model.settings.first_token_timeout;
    let begin = ResponseStream::begin(model, &model.endpoint.path, Some(body));
    let begun = tokio::time::timeout_at(first_token, begin).await;
    let mut exchange = begun.unwrap_or_else(|_| Err(no_token(model)))?;
    let mut tail = None;
    loop {
        let wait = if answer.is_finished() {
            Wait::Until(*tail.get_or_insert_with(|| Instant::now() + TAIL_TIMEOUT))
        } else {
            exchange.wait(answer.is_begun(), first_token)
        };
        let piece = match exchange.piece(wait).await {
            Ok(Some(piece)) => piece,
            Ok(None) => break,
            Err(_) if answer.is_finished() => break,
            Err(failure) => return Err(failure),
        };
        let added = answer.push(&piece);
        *usage = answer.usage();
        send(sink, added?).await;
        if answer.is_done() {
            break;
        }
    }
    let rest = answer.settle();
    *usage = answer.usage();
    send(sink, rest?).await;
    let (finished, note) = answer.finish()?;
    send(sink, note).await;
    Ok(finished)
}

fn no_token(model: &Remote) -> Failure {
    let (name, limit) = (&model.name, model.settings.first_token_timeout.as_secs_f32());
    Failure::transient(format!("no token within {limit} s (models.{name}.first_token_timeout)"))
}

async fn send(sink: &mut Sink<'_>, added: Added) {
    sink.reasoning(added.reasoning).await;
    sink.text(added.text).await;
}

/// Asks for something else than a reply: an answer of at most so many bytes, within a time.
///
/// # Errors
/// [`Failure`].
pub(super) async fn fetch(
    model: &Remote,
    path: &Uri,
    body: Option<RequestBody>,
    limit: usize,
    timeout: Duration,
) -> Result<Vec<u8>, Failure> {
    let fetched = async {
        let mut exchange = ResponseStream::begin(model, path, body).await?;
        let mut bytes = Vec::new();
        while let Some(piece) = exchange.piece(Wait::For(timeout)).await? {
            if bytes.len() + piece.len() > limit {
                return Err(Failure::protocol(format!("an answer of more than {limit} bytes")));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    };
    let late = || Err(Failure::transient(format!("no answer in {} s", timeout.as_secs_f32())));
    tokio::time::timeout(timeout, fetched).await.unwrap_or_else(|_| late())
}

/// What is waited for, and how long.
#[derive(Clone, Copy)]
enum Wait {
    For(Duration),
    FirstToken(Instant, Duration),
    Until(Instant),
}

/// A connection whose answer has begun.
struct ResponseStream<'a> {
    model: &'a Remote,
    connection: Connection,
    body: Incoming,
}

impl<'a> ResponseStream<'a> {
    /// Sends a request, and reads the head of its answer.
    async fn begin(
        model: &'a Remote,
        path: &Uri,
        body: Option<RequestBody>,
    ) -> Result<Self, Failure> {
        let mut connection = Connection::open(&model.connector, &model.budget).await?;
        let timeout = model.settings.read_timeout;
        let request = request(model, path, body)?;
        let answer = within(timeout, connection.call(request)).await?;
        if !answer.status().is_success() {
            return Err(refusal(model, path, &mut connection, answer, timeout).await);
        }
        if let Some(encoding) = answer.headers().get(header::CONTENT_ENCODING)
            && encoding != "identity"
        {
            let name = encoding.to_str().unwrap_or("?");
            let message =
                format!("its answer has the content-encoding {name}, which was not asked for");
            return Err(Failure::protocol(message));
        }
        Ok(Self { model, connection, body: answer.into_body() })
    }

    fn wait(&self, begun: bool, first_token: Instant) -> Wait {
        let silence = self.model.settings.read_timeout;
        if begun { Wait::For(silence) } else { Wait::FirstToken(first_token, silence) }
    }

    /// The next piece of the body; none at its end.
    async fn piece(&mut self, wait: Wait) -> Result<Option<Bytes>, Failure> {
        let piece = self.connection.piece(&mut self.body);
        match wait {
            Wait::For(timeout) => within(timeout, piece).await,
            Wait::Until(deadline) => {
                within(deadline.saturating_duration_since(Instant::now()), piece).await
            }
            Wait::FirstToken(deadline, silence) => {
                tokio::time::timeout_at(deadline, within(silence, piece))
                    .await
                    .unwrap_or_else(|_| Err(no_token(self.model)))
            }
        }
    }
}

fn request(
    model: &Remote,
    path: &Uri,
    body: Option<RequestBody>,
) -> Result<http::Request<RequestBody>, Failure> {
    let method = if body.is_some() { Method::POST } else { Method::GET };
    let mut request = http::Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, &model.endpoint.host)
        .header(header::USER_AGENT, concat!("evonic/", env!("CARGO_PKG_VERSION")))
        .header(header::ACCEPT, "text/event-stream, application/json")
        .header(header::ACCEPT_ENCODING, "identity");
    if body.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    for (name, value) in &model.headers {
        request = request.header(name, value);
    }
    if let Some(key) = &model.key {
        request = request.header(&key.name, &key.header);
    }
    let body = body.unwrap_or_else(|| JsonWriter::default().finish(None));
    request.body(body).map_err(|error| Failure::protocol(error.to_string()))
}

async fn within<T>(
    timeout: Duration,
    part: impl Future<Output = hyper::Result<T>>,
) -> Result<T, Failure> {
    match tokio::time::timeout(timeout, part).await {
        Ok(Ok(part)) => Ok(part),
        // What is no HTTP will not become it; everything else is a connection that broke.
        Ok(Err(error)) if error.is_parse() => {
            Err(Failure::protocol(ErrorChain(&error).to_string()))
        }
        // The body is at fault: an attachment cannot be read.
        Ok(Err(error)) if error.is_user() => {
            let blob =
                std::error::Error::source(&error).and_then(|of| of.downcast_ref::<BlobError>());
            let hashes = blob.map(|blob| blob.sha256.clone()).into_iter().collect();
            Err(Failure::Attachment { hashes, message: ErrorChain(&error).to_string() })
        }
        Ok(Err(error)) => Err(Failure::transient(ErrorChain(&error).to_string())),
        Err(_) => Err(Failure::transient(format!("silent for {} s", timeout.as_secs_f32()))),
    }
}

/// The failure of an answer with another status.
async fn refusal(
    model: &Remote,
    path: &Uri,
    connection: &mut Connection,
    answer: Response<Incoming>,
    timeout: Duration,
) -> Failure {
    let status = answer.status();
    let number = Some(status.as_u16());
    if status.is_redirection() {
        let place = answer.headers().get(header::LOCATION).and_then(|place| place.to_str().ok());
        let place = place.unwrap_or("nowhere");
        let message = format!("it redirects to {place}, and redirects are not followed");
        return EndpointError::text(message).failure(number, None);
    }
    let after = wait_hint::in_headers(answer.headers(), jiff::Timestamp::now());
    let mut body = answer.into_body();
    let mut bytes = Vec::new();
    let read = async {
        while let Ok(Some(piece)) = connection.piece(&mut body).await {
            bytes.extend_from_slice(&piece);
            if bytes.len() >= MAX_ERROR_BYTES {
                break;
            }
        }
    };
    // Whatever came in time is shown; that not all of it came is not worth an error of its own.
    let _ = tokio::time::timeout(timeout.min(ERROR_TIMEOUT), read).await;
    bytes.truncate(MAX_ERROR_BYTES);
    let fault = match serde_json::from_slice::<serde_json::Value>(&bytes) {
        Ok(value) => EndpointError::of(&value),
        Err(_) if bytes.is_empty() => {
            EndpointError::text(status.canonical_reason().unwrap_or("no reason"))
        }
        Err(_) => EndpointError::text(without_tags(&String::from_utf8_lossy(&bytes))),
    };
    let failure = fault.failure(number, after);
    match failure {
        // A wrong address says which was asked.
        Failure::Refused { status: 404 | 405, message } => {
            let address = model.endpoint.address(path);
            let message = format!("{message} ({address} was asked)");
            Failure::Refused { status: status.as_u16(), message }
        }
        failure => failure,
    }
}

/// The text of a page of HTML; another text as it is.
fn without_tags(text: &str) -> String {
    if !text.trim_start().starts_with('<') {
        return text.to_owned();
    }
    let mut pieces = text.split('<');
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces
        .fold(first, |text, piece| text + " " + piece.split_once('>').map_or("", |(_, rest)| rest))
}
