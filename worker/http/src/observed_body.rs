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

use crate::connection_timers::ConnectionTimers;

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

/// Dropped by hyper when its last byte is buffered, or with the connection.
#[derive(Debug)]
pub(super) struct ResponseBody {
    body: BoxBody<Bytes, BoxError>,
    timers: ConnectionTimers,
}

impl ResponseBody {
    pub(super) fn new<B>(body: B, timers: ConnectionTimers) -> Self
    where
        B: Body<Data = Bytes> + Send + Sync + 'static,
        B::Error: Into<BoxError>,
    {
        Self { body: body.map_err(Into::into).boxed(), timers }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        self.timers.answered();
    }
}
