//! What hyper reads and writes: a connection's bytes, one request at a time.
//!
//! - Each head is handed over alone, and only if its lines end as they must: see
//!   [`RequestFraming`].
//! - While a request is answered hyper reads its body at most. So this looks ahead: a client that closes its
//!   sending side, or is gone, is noticed at once, whatever it sent before.
//! - What hyper answers by itself to a head that it refuses is withheld: the connection answers
//!   with a problem document in its place.
//!
//! hyper and the connection hold it together, in one task.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BytesMut};
use http::StatusCode;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{
    connection_timers::ConnectionTimers,
    lingering_stream::LingeringStream,
    request_framing::{BareLineFeed, RequestFraming},
};

/// The most bytes of later requests that are read while one is answered. A client that sends more
/// and leaves is noticed when it is written to.
const AHEAD_BYTES: usize = 16 * 1024;

/// Read at once when looking ahead.
const PIECE_BYTES: usize = 4 * 1024;

/// Why a head never became a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// A line ends with a bare line feed.
    LineEnd,
    /// hyper refused it with this status.
    ByHyper(StatusCode),
}

/// A handle of the stream of one connection.
#[derive(Clone, Debug)]
pub(super) struct RequestStream(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    stream: LingeringStream,
    timers: ConnectionTimers,
    framing: RequestFraming,
    /// Came and is not handed over.
    ahead: BytesMut,
    /// hyper waits for bytes.
    is_awaited: bool,
    refused: Option<Refused>,
    /// hyper has ended: what is written is the connection's own answer.
    is_direct: bool,
}

impl RequestStream {
    pub(super) fn new(stream: LingeringStream, timers: ConnectionTimers) -> Self {
        Self(Arc::new(Mutex::new(State {
            stream,
            timers,
            framing: RequestFraming::new(),
            ahead: BytesMut::new(),
            is_awaited: false,
            refused: None,
            is_direct: false,
        })))
    }

    /// Ready when the client is gone while it is answered. Polled after hyper, in its task.
    pub(super) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.lock().poll_gone(cx)
    }

    /// After hyper: lets answers through, and says why there was no request.
    pub(super) fn answer_directly(&self) -> Option<Refused> {
        let mut state = self.0.lock();
        state.is_direct = true;
        state.refused
    }
}

impl State {
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.timers.is_busy() && !self.stream.has_ended() && self.ahead.len() < AHEAD_BYTES {
            let mut piece = [0; PIECE_BYTES];
            let mut read = ReadBuf::new(&mut piece);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read)) {
                Ok(()) => self.ahead.extend_from_slice(read.filled()),
                Err(_) => return Poll::Ready(()),
            }
            if std::mem::take(&mut self.is_awaited) {
                // It came after hyper had looked for it.
                cx.waker().wake_by_ref();
            }
        }
        Poll::Pending
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if self.framing.awaits_body() {
            // hyper takes the same end for the end: it has called the service by now.
            let length = self.timers.take_body_length().ok_or(io::ErrorKind::InvalidData)?;
            self.framing.begin_body(length);
        }
        if self.ahead.is_empty() {
            let before = buf.filled().len();
            let read = Pin::new(&mut self.stream).poll_read(cx, buf);
            self.is_awaited = read.is_pending();
            ready!(read)?;
            let taken = self.framing.take(&buf.filled()[before..]);
            let taken = self.judge(taken)?;
            self.ahead.extend_from_slice(&buf.filled()[before + taken..]);
            buf.set_filled(before + taken);
        } else {
            self.is_awaited = false;
            let length = self.ahead.len().min(buf.remaining());
            let taken = self.framing.take(&self.ahead[..length]);
            let taken = self.judge(taken)?;
            buf.put_slice(&self.ahead[..taken]);
            self.ahead.advance(taken);
        }
        Poll::Ready(Ok(()))
    }

    fn judge(&mut self, taken: Result<usize, BareLineFeed>) -> io::Result<usize> {
        taken.map_err(|bare| {
            // Who reads a body answers what is wrong with it.
            if !self.framing.is_in_body() {
                self.refused = Some(Refused::LineEnd);
            }
            io::Error::new(io::ErrorKind::InvalidData, bare)
        })
    }

    /// Keeps back what hyper answers by itself, of which its first piece has the status.
    fn withhold(&mut self, bytes: &[u8]) -> bool {
        if self.is_direct || self.timers.is_answering() {
            return false;
        }
        let status = bytes.get(9..12).and_then(|code| StatusCode::from_bytes(code).ok());
        let status = status.unwrap_or(StatusCode::BAD_REQUEST);
        self.refused.get_or_insert(Refused::ByHyper(status));
        true
    }
}

impl AsyncRead for RequestStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.lock().poll_read(cx, buf)
    }
}

impl AsyncWrite for RequestStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock();
        if state.withhold(buf) {
            return Poll::Ready(Ok(buf.len()));
        }
        Pin::new(&mut state.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock();
        if state.withhold(bufs.first().map_or(&[], |first| first)) {
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        Pin::new(&mut state.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.lock();
        ready!(Pin::new(&mut state.stream).poll_flush(cx))?;
        state.timers.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.lock();
        if state.refused.is_some() && !state.is_direct {
            // The answer is still to come.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut state.stream).poll_shutdown(cx)
    }
}
