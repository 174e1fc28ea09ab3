//! What carries a connection's bytes, with the permit of its descriptor.

use std::fmt::Debug;

use tokio::io::{AsyncRead, AsyncWrite};

/// The transport of a connection.
pub(super) trait Transport: AsyncRead + AsyncWrite + Debug + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Debug + Send + Unpin> Transport for T {}

/// TCP, with TLS or without, or the Unix socket, each with its permit; the supervisor's probe, which
/// is outside the budget; or a connection within this process, which holds no descriptor.
pub(super) type ByteStream = Box<dyn Transport>;
