//! A connection's stream: reports its progress, and closes without a reset.
//!
//! The kernel resets a connection that is closed with unread bytes, and the client then may lose
//! the answer that was on its way. So it lingers: it sends the end of file, reads and discards
//! until the client's own end of file, and only then closes.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

use crate::{byte_stream::ByteStream, connection_timers::ConnectionTimers};

/// How long a closed stream waits for another byte of a client that keeps sending.
const SILENCE_LIMIT: Duration = Duration::from_secs(1);

/// How long a stream lingers at the most, whatever the client sends.
const LINGER_LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct LingeringStream {
    stream: ByteStream,
    timers: ConnectionTimers,
    ended: bool,
    linger: Option<Linger>,
}

#[derive(Debug)]
struct Linger {
    until: Instant,
    silence: Pin<Box<Sleep>>,
}

impl LingeringStream {
    pub(super) const fn new(stream: ByteStream, timers: ConnectionTimers) -> Self {
        Self { stream, timers, ended: false, linger: None }
    }

    /// Whether the client has closed its sending side.
    pub(super) const fn has_ended(&self) -> bool {
        self.ended
    }

    fn note_write(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(_) => self.timers.wrote(),
            Poll::Pending => self.timers.stalled(),
        }
    }

    /// Reads and discards until the client's end of file, a second of silence, or the limit.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(linger) = &mut self.linger else { return Poll::Ready(()) };
        let mut scratch = [0; 16 * 1024];
        loop {
            let mut rest = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.stream).poll_read(cx, &mut rest) {
                Poll::Ready(Ok(())) if !rest.filled().is_empty() => {
                    let now = Instant::now();
                    if now >= linger.until {
                        return Poll::Ready(());
                    }
                    linger.silence.as_mut().reset((now + SILENCE_LIMIT).min(linger.until));
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return linger.silence.as_mut().poll(cx),
            }
        }
    }
}

impl AsyncRead for LingeringStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if !self.ended {
            let before = buf.filled().len();
            match ready!(Pin::new(&mut self.stream).poll_read(cx, buf)) {
                // A client that ends TLS without a close notification: a request that is cut by that
                // shows in its own length.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                read => read?,
            }
            if buf.filled().len() > before {
                self.timers.received();
            } else {
                self.ended = true;
                self.timers.half_closed();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for LingeringStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note_write(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.note_write(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        // TLS accepts a little more than it has sent.
        if flushed.is_pending() {
            self.timers.stalled();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            if ready!(Pin::new(&mut self.stream).poll_shutdown(cx)).is_err() {
                // The client is gone already.
                return Poll::Ready(Ok(()));
            }
            self.timers.close();
            let now = Instant::now();
            let silence = Box::pin(tokio::time::sleep(SILENCE_LIMIT));
            self.linger = Some(Linger { until: now + LINGER_LIMIT, silence });
        }
        if !self.ended {
            ready!(self.poll_linger(cx));
            self.ended = true;
        }
        Poll::Ready(Ok(()))
    }
}
