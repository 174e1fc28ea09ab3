//! What carries a connection's bytes, with the permit of its descriptor.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::server::TlsStream;

use evonic_handles::Held;

#[derive(Debug)]
pub(super) enum ByteStream {
    /// A TCP client.
    Tcp(Held<TcpStream>),
    /// A TCP client behind TLS.
    Tls(Box<TlsStream<Held<TcpStream>>>),
    /// A client of the Unix socket.
    Unix(Held<UnixStream>),
    /// The supervisor's probe; outside the budget.
    Probe(UnixStream),
    /// A connection within this process; holds no descriptor.
    Inside(DuplexStream),
}

/// Calls a method of the stream that a `ByteStream` holds.
macro_rules! forward {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            ByteStream::Tcp(held) => {
                let $stream = Pin::new(&mut **held);
                $call
            }
            ByteStream::Tls(held) => {
                let $stream = Pin::new(&mut **held);
                $call
            }
            ByteStream::Unix(held) => {
                let $stream = Pin::new(&mut **held);
                $call
            }
            ByteStream::Probe(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            ByteStream::Inside(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
        }
    };
}

impl AsyncRead for ByteStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        forward!(self, stream => stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for ByteStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        forward!(self, stream => stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        forward!(self, stream => stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(self, stream => stream.poll_shutdown(cx))
    }
}
