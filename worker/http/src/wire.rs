//! A connection's bytes: reports its progress, and closes without a reset.
//!
//! The kernel resets a connection that is closed with unread bytes, and the client then may lose
//! the answer that was on its way. So a wire is closed in steps: send the end of file, read what
//! still comes and throw it away until the client's own end of file, and only then close.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf},
    net::{TcpStream, UnixStream},
    time::{Instant, Sleep},
};

use crate::{progress::Progress, tls::Secured};
use evonic_handles::Held;

/// A closed wire waits this long for another byte of a client that goes on sending.
const SILENCE: Duration = Duration::from_secs(1);

/// A closed wire takes no longer than this, whatever the client sends.
const FAREWELL: Duration = Duration::from_secs(10);

/// What carries the bytes.
#[derive(Debug)]
pub(super) enum Carrier {
    /// A TCP client.
    Tcp(Held<TcpStream>),
    /// A TCP client behind TLS.
    Tls(Box<Secured>),
    /// A client of the Unix socket.
    Unix(Held<UnixStream>),
    /// The supervisor's probe; outside the budget.
    Probe(UnixStream),
    /// A connection within this process; holds no descriptor.
    Inside(DuplexStream),
}

/// Applies a method of the carried stream.
macro_rules! carried {
    ($carrier:expr, $stream:ident => $call:expr) => {
        match $carrier {
            Carrier::Tcp(held) => {
                let $stream = Pin::new(&mut **held);
                $call
            }
            Carrier::Tls(secured) => {
                let $stream = Pin::new(&mut **secured);
                $call
            }
            Carrier::Unix(held) => {
                let $stream = Pin::new(&mut **held);
                $call
            }
            Carrier::Probe(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Carrier::Inside(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
        }
    };
}

/// A carrier under watch.
#[derive(Debug)]
pub(super) struct Wire {
    carrier: Carrier,
    progress: Progress,
    ended: bool,
    farewell: Option<Farewell>,
}

#[derive(Debug)]
struct Farewell {
    until: Instant,
    silence: Pin<Box<Sleep>>,
}

impl Wire {
    /// Watches a carrier.
    pub(super) const fn new(carrier: Carrier, progress: Progress) -> Self {
        Self { carrier, progress, ended: false, farewell: None }
    }

    fn note_write(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(_) => self.progress.wrote(),
            Poll::Pending => self.progress.stalled(),
        }
    }

    /// Reads and discards until the client's end of file, a second of silence, or the end of all
    /// patience.
    fn poll_farewell(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(farewell) = &mut self.farewell else { return Poll::Ready(()) };
        let mut scratch = [0; 16 * 1024];
        loop {
            let mut rest = ReadBuf::new(&mut scratch);
            match carried!(&mut self.carrier, stream => stream.poll_read(cx, &mut rest)) {
                Poll::Ready(Ok(())) if !rest.filled().is_empty() => {
                    let now = Instant::now();
                    if now >= farewell.until {
                        return Poll::Ready(());
                    }
                    farewell.silence.as_mut().reset((now + SILENCE).min(farewell.until));
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return farewell.silence.as_mut().poll(cx),
            }
        }
    }
}

impl AsyncRead for Wire {
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
            match ready!(carried!(&mut self.carrier, stream => stream.poll_read(cx, buf))) {
                // A client that ends its TLS without a word: a request that was cut by that is
                // told by its own length.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
                read => read?,
            }
            if buf.filled().len() > before {
                self.progress.received();
                return Poll::Ready(Ok(()));
            }
            self.ended = true;
        }
        // The connection is polled again when its answer is written: no waker is lost here.
        if self.progress.half_closed() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = carried!(&mut self.carrier, stream => stream.poll_write(cx, buf));
        self.note_write(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = carried!(&mut self.carrier, stream => stream.poll_write_vectored(cx, bufs));
        self.note_write(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = carried!(&mut self.carrier, stream => stream.poll_flush(cx));
        // TLS takes a little more than it has sent.
        if flushed.is_pending() {
            self.progress.stalled();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.farewell.is_none() {
            if ready!(carried!(&mut self.carrier, stream => stream.poll_shutdown(cx))).is_err() {
                // The client is gone already.
                return Poll::Ready(Ok(()));
            }
            self.progress.close();
            let now = Instant::now();
            let silence = Box::pin(tokio::time::sleep(SILENCE));
            self.farewell = Some(Farewell { until: now + FAREWELL, silence });
        }
        if !self.ended {
            ready!(self.poll_farewell(cx));
            self.ended = true;
        }
        Poll::Ready(Ok(()))
    }
}
