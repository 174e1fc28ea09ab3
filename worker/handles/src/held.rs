//! A handle and its permit, dropped in that order.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Permit;

/// A handle together with the permit under which it was opened.
///
/// Fields drop in order of declaration: the handle closes before its permit is given back.
///
/// ```compile_fail
/// # fn permit() -> evonic_handles::Permit { unreachable!() }
/// // The handle cannot be taken out of the permit's custody.
/// let held = evonic_handles::Held::new(std::io::stdin(), permit());
/// let stdin = held.inner;
/// ```
#[derive(Debug)]
pub struct Held<T> {
    inner: T,
    permit: Permit,
}

impl<T> Held<T> {
    /// Binds a handle to its permit, whose [`Permit::owns`] the gateway has already called.
    pub const fn new(inner: T, permit: Permit) -> Self {
        Self { inner, permit }
    }

    /// The permit, to correct what it owns.
    pub const fn permit_mut(&mut self) -> &mut Permit {
        &mut self.permit
    }
}

impl<T> std::ops::Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> std::ops::DerefMut for Held<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Held<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Held<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
