//! Answers as handlers make them.

use std::error::Error;

use bytes::Bytes;
use evonic_shared::error_chain::ErrorChain;
use http::{
    HeaderValue, StatusCode,
    header::{CONTENT_TYPE, LOCATION},
};
use serde::Serialize;
use serde_json::{Value, json};
use warp::reply::{Reply, Response};

use crate::problem::{Answer, Problem};

/// A JSON body.
pub(super) fn json<T: Serialize>(status: StatusCode, value: &T) -> Answer {
    let text = serde_json::to_string(value).map_err(|error| Problem::internal(&error))?;
    let mut response = document(text);
    *response.status_mut() = status;
    Ok(response)
}

/// 200 with a JSON body.
pub(super) fn ok<T: Serialize>(value: &T) -> Answer {
    json(StatusCode::OK, value)
}

/// 201 with text that is JSON already, and where what it describes is found.
pub(super) fn created(location: &str, text: impl Into<Bytes>) -> Response {
    located(StatusCode::CREATED, location, document(text))
}

/// The same answer with this status, and where what it describes is found.
pub(super) fn located(status: StatusCode, location: &str, mut response: Response) -> Response {
    *response.status_mut() = status;
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// How work ended, as the last event of its stream.
pub(super) fn outcome<E: Error + 'static>(done: Result<(), E>) -> Value {
    match done {
        Ok(()) => json!({ "ok": true }),
        Err(error) => json!({ "ok": false, "error": ErrorChain(&error).to_string() }),
    }
}

/// 204.
pub(super) fn no_content() -> Answer {
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// 200 with text that is JSON already.
pub(super) fn document(text: impl Into<Bytes>) -> Response {
    let mut response = Response::new(text.into().into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
