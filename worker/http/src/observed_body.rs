//! Bodies that report the connection's progress: when a request has come whole, when its answer is
//! written.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, combinators::BoxBody};
use hyper::body::Incoming;

use crate::{connection_timers::ConnectionTimers, request_framing::BodyLength};

/// How hyper delimits a request's body.
pub(super) fn body_length(body: &Incoming) -> BodyLength {
    if body.is_end_stream() {
        return BodyLength::Exact(0);
    }
    body.size_hint().exact().map_or(BodyLength::Chunked, BodyLength::Exact)
}

#[derive(Debug)]
pub(super) struct RequestBody {
    body: Incoming,
    timers: ConnectionTimers,
}

impl RequestBody {
    pub(super) const fn new(body: Incoming, timers: ConnectionTimers) -> Self {
        Self { body, timers }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() || self.body.is_end_stream() {
            self.timers.body_ended();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An error of an answer's body; answers of ours have none.
pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of an answer.
pub(super) type ResponseBody = BoxBody<Bytes, BoxError>;

/// A body that reports that the answer is written when hyper drops it: when its last byte is
/// buffered, or with the connection.
pub(super) fn response_body<B>(body: B, timers: ConnectionTimers) -> ResponseBody
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + Sync + 'static,
{
    let answered = Answered(timers);
    let owning = move |error: B::Error| {
        let Answered(_) = &answered;
        error.into()
    };
    body.map_err(owning).boxed()
}

/// Reports the end of an answer when it is dropped.
struct Answered(ConnectionTimers);

impl Drop for Answered {
    fn drop(&mut self) {
        self.0.answered();
    }
}
