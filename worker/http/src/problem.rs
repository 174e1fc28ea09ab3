//! Problem details (RFC 9457): the form of every refusal.

use std::{error::Error, time::Duration};

use evonic_shared::{error_chain::ErrorChain, store_report::StoreState};
use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER},
};
use serde_json::{Value, json};
use warp::reply::Response;

use evonic_domain::SettingsError;
use evonic_handles::Exhausted;
use evonic_store::{Conflict, StoreError};

const MEDIA_TYPE: &str = "application/problem+json";

/// A type that is registered: its address, and the title that belongs to it.
const QUOTA_EXCEEDED: (&str, &str) = (
    "https://iana.org/assignments/http-problem-types#quota-exceeded",
    "Request cannot be satisfied as assigned quota has been exceeded",
);

pub(super) type Answer = Result<Response, Problem>;

/// A refusal. Never has the text of an internal error.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    /// The last part of its type; empty where the status says all.
    code: &'static str,
    detail: String,
    members: Vec<(&'static str, Value)>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem of this status whose type is `urn:evonic:problem:CODE`, or `about:blank` when
    /// the code is empty.
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), members: Vec::new(), headers: Vec::new() }
    }

    /// 500: the cause is logged, and not sent.
    pub(super) fn internal(error: &(dyn Error + 'static)) -> Self {
        tracing::error!(error = %ErrorChain(error), "request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "", "the server failed; its log says why")
    }

    /// 400 about one field, parameter or header.
    pub(super) fn malformed(field: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", detail).with_field(field)
    }

    /// 422 about one field whose value has the right form and cannot be used.
    pub(super) fn unusable(field: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "unusable", detail).with_field(field)
    }

    /// 404.
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    /// 405, with the methods that would have been right.
    pub(super) fn not_allowed(methods: &str) -> Self {
        let detail = format!("this resource answers {methods}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "", detail).with_header(ALLOW, methods)
    }

    /// 503 that says when to try again.
    pub(super) fn unavailable(
        code: &'static str,
        detail: impl Into<String>,
        retry_after: Duration,
    ) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).retrying_after(retry_after)
    }

    /// 429 that says when to try again.
    pub(super) fn too_many(
        code: &'static str,
        detail: impl Into<String>,
        retry_after: Duration,
    ) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, code, detail).retrying_after(retry_after)
    }

    /// 429 because these quotas are used up; says when they have room again.
    pub(super) fn quota_exceeded(policies: &[&str], retry_after: Duration) -> Self {
        let detail = format!(
            "no more requests are allowed for {} s by: {}",
            retry_after.as_secs(),
            policies.join(", ")
        );
        Self::new(StatusCode::TOO_MANY_REQUESTS, QUOTA_EXCEEDED.0, detail)
            .with("violated-policies", policies.into())
            .retrying_after(retry_after)
    }

    pub(super) const fn status(&self) -> StatusCode {
        self.status
    }

    /// Names the field, parameter or header that is refused.
    pub(super) fn with_field(self, field: &str) -> Self {
        self.with("field", Value::from(field))
    }

    /// Adds an extension member.
    pub(super) fn with(mut self, member: &'static str, value: Value) -> Self {
        self.members.push((member, value));
        self
    }

    /// Adds a header; leaves out a value that none may have.
    pub(super) fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.extend(HeaderValue::from_str(value).map(|value| (name, value)));
        self
    }

    /// Ends the connection after this answer.
    pub(super) fn closing(self) -> Self {
        self.with_header(CONNECTION, "close")
    }

    fn retrying_after(self, pause: Duration) -> Self {
        let seconds = pause.as_secs() + u64::from(pause.subsec_nanos() > 0);
        self.with_header(RETRY_AFTER, &seconds.max(1).to_string())
    }

    /// The whole answer, for a connection that ends without a request; it has this identifier.
    pub(super) fn to_http1(&self, request_id: &str) -> String {
        let (status, body) = (self.status, self.to_json());
        let length = body.len();
        let retry = self.headers.iter().find(|(name, _)| name == RETRY_AFTER);
        let retry =
            retry.and_then(|(name, value)| Some(format!("{name}: {}\r\n", value.to_str().ok()?)));
        let retry = retry.unwrap_or_default();
        format!(
            "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-type: {MEDIA_TYPE}\r\n{retry}\
             x-request-id: {request_id}\r\nx-content-type-options: nosniff\r\n\
             content-length: {length}\r\n\r\n{body}"
        )
    }

    fn to_json(&self) -> String {
        let title = self.status.canonical_reason().unwrap_or("Refused");
        let (kind, title) = if self.code.is_empty() {
            ("about:blank".to_owned(), title.to_owned())
        } else if self.code == QUOTA_EXCEEDED.0 {
            (self.code.to_owned(), QUOTA_EXCEEDED.1.to_owned())
        } else {
            (format!("urn:evonic:problem:{}", self.code), title_of(self.code))
        };
        let (status, detail) = (self.status.as_u16(), &self.detail);
        let mut body = json!({"type": kind, "title": title, "status": status, "detail": detail});
        for (name, value) in &self.members {
            body[*name] = value.clone();
        }
        body.to_string()
    }

    pub(super) fn into_response(self) -> Response {
        let mut response = Response::new(self.to_json().into());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.extend(self.headers);
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let detail = error.to_string();
        match error {
            StoreError::Exhausted(exhausted) => exhausted.into(),
            StoreError::NotFound { .. } => Self::not_found(detail),
            StoreError::Conflict { code: code @ Conflict::QueueFull, .. } => {
                Self::too_many(code.name(), detail, Duration::from_secs(1))
            }
            StoreError::Conflict {
                code: code @ (Conflict::KeyReused | Conflict::AttachmentsFull),
                ..
            } => Self::new(StatusCode::UNPROCESSABLE_ENTITY, code.name(), detail),
            StoreError::Conflict { code, .. } => {
                Self::new(StatusCode::CONFLICT, code.name(), detail)
            }
            StoreError::Full => Self::new(StatusCode::INSUFFICIENT_STORAGE, "disk_full", detail),
            StoreError::LowSpace { .. } => {
                Self::new(StatusCode::INSUFFICIENT_STORAGE, "low_space", detail)
            }
            StoreError::Closed => {
                Self::unavailable("stopping", "this worker is stopping", Duration::from_secs(1))
            }
            StoreError::Overloaded { retry_after, .. } => {
                Self::unavailable("overloaded", detail, retry_after)
            }
            StoreError::Locked => {
                Self::unavailable("database_locked", detail, Duration::from_secs(1))
            }
            StoreError::Unusable(report) => {
                Self::unavailable(unusable(report.state), detail, UNUSABLE_PAUSE)
                    .with("advice", report.advice.into())
            }
            StoreError::Open { .. }
            | StoreError::Alien { .. }
            | StoreError::Newer { .. }
            | StoreError::Copy { .. }
            | StoreError::NoWal { .. }
            | StoreError::Thread { .. }
            | StoreError::Sql { .. }
            | StoreError::Panicked
            | StoreError::Fenced => Self::internal(&error),
        }
    }
}

/// When to ask again of a database that an operator must look after: a guess.
const UNUSABLE_PAUSE: Duration = Duration::from_secs(30);

/// The code of a database that cannot be used.
const fn unusable(state: StoreState) -> &'static str {
    match state {
        StoreState::Locked => "database_locked",
        StoreState::DiskFull => "disk_full",
        StoreState::ReadOnly => "database_read_only",
        StoreState::Failing => "database_failing",
        StoreState::Lost => "database_lost",
        StoreState::Replaced => "database_replaced",
        StoreState::Corrupt => "database_corrupt",
    }
}

impl From<Exhausted> for Problem {
    fn from(exhausted: Exhausted) -> Self {
        let detail = exhausted.to_string();
        Self::unavailable("exhausted", detail, exhausted.retry_after)
            .with("kind", exhausted.kind.name().into())
    }
}

impl From<SettingsError> for Problem {
    fn from(error: SettingsError) -> Self {
        let detail = error.to_string();
        if error.malformed {
            Self::malformed(&error.field, detail)
        } else {
            Self::unusable(&error.field, detail)
        }
    }
}

/// `queue_full` as a title: `Queue full`.
fn title_of(code: &str) -> String {
    let mut text = code.replace('_', " ");
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}
