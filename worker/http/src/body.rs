//! A request's body: typed, bounded, and in time.

use std::{pin::Pin, time::Duration};

use bytes::{Buf, Bytes, BytesMut};
use evonic_shared::config;
use futures_util::{Stream, StreamExt, TryStreamExt};
use http::{
    HeaderMap, HeaderName, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING},
};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

use crate::problem::Problem;

/// A whole body may take this many of its longest pauses: without it, one byte a pause would
/// hold a connection for months.
const PAUSES: u32 = 6;

/// A request's body as it comes.
pub(super) type BodyStream = Pin<Box<dyn Stream<Item = Result<Bytes, warp::Error>> + Send + Sync>>;

/// How much is read, and how long a client may take to send it.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyLimits {
    max_bytes: u32,
    pause: Duration,
}

impl BodyLimits {
    pub(super) const fn new(settings: &config::Http) -> Self {
        Self { max_bytes: settings.max_body_bytes, pause: settings.body_timeout }
    }
}

/// The body that warp extracts.
pub(super) fn boxed<B: Buf>(
    body: impl Stream<Item = Result<B, warp::Error>> + Send + Sync + 'static,
) -> BodyStream {
    Box::pin(body.map_ok(|mut piece| piece.copy_to_bytes(piece.remaining())).fuse())
}

/// A body that says that it is JSON, within its bounds.
///
/// # Errors
/// 415, 413, 408 and 400; 501 for a transfer coding.
pub(super) async fn read_json(
    body: BodyStream,
    headers: &HeaderMap,
    limits: BodyLimits,
) -> Result<Bytes, Problem> {
    require_json(headers)?;
    require_plain(headers)?;
    read(body, headers, limits).await
}

/// A body of any content, as it comes.
pub(super) struct Upload {
    body: BodyStream,
    pause: Duration,
    /// The bytes that it says it has.
    pub(super) announced: Option<u64>,
}

impl Upload {
    /// # Errors
    /// 415 and 501 for a coding.
    pub(super) fn new(
        body: BodyStream,
        headers: &HeaderMap,
        limits: BodyLimits,
    ) -> Result<Self, Problem> {
        require_plain(headers)?;
        Ok(Self { body, pause: limits.pause, announced: announced(headers) })
    }

    /// A body that says that it is lines of JSON.
    ///
    /// # Errors
    /// 415; 501 for a transfer coding.
    pub(super) fn of_lines(
        body: BodyStream,
        headers: &HeaderMap,
        limits: BodyLimits,
    ) -> Result<Self, Problem> {
        let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let kind = kind.and_then(|text| text.split(';').next()).map_or("", str::trim);
        if !kind.eq_ignore_ascii_case(LINES) {
            let detail = format!("the body must be lines of JSON, with 'Content-Type: {LINES}'");
            let problem = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "", detail);
            return Err(problem.with_field("content-type"));
        }
        Self::new(body, headers, limits)
    }

    /// The next bytes of it; nothing at its end. Who asks bounds how long all of it takes.
    ///
    /// # Errors
    /// 408 after a pause of `http.body_timeout`; 400 when it breaks off.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        match timeout_at(Instant::now() + self.pause, self.body.next()).await {
            Ok(Some(Ok(piece))) => Ok(Some(piece)),
            Ok(Some(Err(_))) => Err(broken_off()),
            Ok(None) => Ok(None),
            Err(_) => Err(too_slow(self.pause)),
        }
    }

    /// The longest that a piece of it may take, however many pauses it has.
    pub(super) fn piece_timeout(&self) -> Duration {
        self.pause * PAUSES
    }
}

/// Refuses a body that does not say it is JSON. A browser's form cannot say so, which keeps
/// foreign pages from posting.
fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let essence = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.split(';').next())
        .map_or("", str::trim);
    if ["application/json", "application/merge-patch+json"]
        .iter()
        .any(|json| essence.eq_ignore_ascii_case(json))
    {
        return Ok(());
    }
    let detail = "the body must be JSON, with 'Content-Type: application/json'";
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "", detail).with_field("content-type"))
}

/// Refuses a body that is compressed or encoded otherwise, as content or on its way.
fn require_plain(headers: &HeaderMap) -> Result<(), Problem> {
    if let Some(coding) = coding(headers, CONTENT_ENCODING, "identity") {
        let detail = format!("the body is sent in the coding '{coding}'; send it as it is");
        let problem = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "", detail);
        return Err(problem
            .with_field("content-encoding")
            .with_header(ACCEPT_ENCODING, "identity"));
    }
    if let Some(coding) = coding(headers, TRANSFER_ENCODING, "chunked") {
        let detail = format!("the transfer coding '{coding}' is not understood, 'chunked' alone");
        let problem = Problem::new(StatusCode::NOT_IMPLEMENTED, "", detail).closing();
        return Err(problem.with_field("transfer-encoding"));
    }
    Ok(())
}

/// The first coding that a header lists besides the one that is known.
fn coding(headers: &HeaderMap, name: HeaderName, known: &str) -> Option<String> {
    let values = headers.get_all(name).into_iter();
    let values = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let codings = values.flat_map(|text| {
        text.split(',').map(|coding| coding.trim().to_owned()).collect::<Vec<_>>()
    });
    codings.filter(|coding| !coding.is_empty()).find(|coding| !coding.eq_ignore_ascii_case(known))
}

/// Reads a body to its end.
///
/// # Errors
/// 413 past `http.max_body_bytes`, by the length it announces or by what has come; 408 after a
/// pause of `http.body_timeout`, or six of them in all; 400 when it breaks off.
async fn read(
    mut body: BodyStream,
    headers: &HeaderMap,
    limits: BodyLimits,
) -> Result<Bytes, Problem> {
    let limit = limits.max_bytes as usize;
    if announced(headers).is_some_and(|length| length > u64::from(limits.max_bytes)) {
        return Err(too_large(limit));
    }
    let end = Instant::now() + limits.pause * PAUSES;
    let mut bytes = BytesMut::new();
    loop {
        let pause = (Instant::now() + limits.pause).min(end);
        match timeout_at(pause, body.next()).await {
            Ok(Some(Ok(piece))) if bytes.len() + piece.len() > limit => {
                return Err(too_large(limit));
            }
            Ok(Some(Ok(piece))) => bytes.extend_from_slice(&piece),
            Ok(Some(Err(_))) => return Err(broken_off()),
            Ok(None) => return Ok(bytes.freeze()),
            Err(_) => return Err(too_slow(limits.pause)),
        }
    }
}

/// Lines of JSON.
pub(super) const LINES: &str = "application/x-ndjson";

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn broken_off() -> Problem {
    let detail = "the body broke off or is not chunked as it says";
    Problem::new(StatusCode::BAD_REQUEST, "malformed", detail)
}

pub(super) fn too_large(limit: usize) -> Problem {
    let detail = format!("the body may have {limit} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "", detail).closing()
}

pub(super) fn too_slow(pause: Duration) -> Problem {
    let detail = format!("the body paused for {pause:?} or is too slow in all");
    Problem::new(StatusCode::REQUEST_TIMEOUT, "", detail).closing()
}

/// A JSON object of type `T`, to its last byte.
///
/// # Errors
/// 400 that says what is wrong where, and names the field.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // serde would take an array for a structure's fields in order.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(malformed("must be a JSON object"));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let cause = error.into_inner();
        if path == "." || !cause.is_data() {
            malformed(cause)
        } else {
            Problem::malformed(&path, format!("field '{path}': {cause}"))
        }
    })?;
    json.end().map_err(malformed)?;
    Ok(value)
}

fn malformed(cause: impl std::fmt::Display) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "malformed", format!("the body: {cause}"))
}
