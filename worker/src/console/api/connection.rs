//! Connections to the worker.

use std::io;

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};

use super::answer::ANSWER_TIMEOUT;
use crate::console::{
    error::ConsoleError,
    server::{Server, Trust},
};

/// A connection of either kind.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

#[expect(
    clippy::disallowed_methods,
    reason = "the console is a client in a process of its own, outside the worker's budget"
)]
pub(super) async fn connect(server: &Server) -> Result<Box<dyn Stream>, ConsoleError> {
    match server {
        Server::Unix(socket) => match UnixStream::connect(socket).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                let message = format!("{} is not for this user", socket.display());
                Err(ConsoleError::Forbidden { message })
            }
            Err(source) => {
                Err(ConsoleError::NotRunning { address: socket.display().to_string(), source })
            }
        },
        Server::Tcp { authority, trust, .. } => {
            let address = match authority.port_u16() {
                Some(_) => authority.to_string(),
                None => format!("{authority}:443"),
            };
            let expired = |_| ConsoleError::Timeout { limit: ANSWER_TIMEOUT };
            let connected = timeout(ANSWER_TIMEOUT, TcpStream::connect(address.as_str())).await;
            let stream = match connected.map_err(expired)? {
                Ok(stream) => stream,
                Err(source) => return Err(ConsoleError::NotRunning { address, source }),
            };
            let Some(Trust { connector, name }) = trust else { return Ok(Box::new(stream)) };
            let handshake = timeout(ANSWER_TIMEOUT, connector.connect(name.clone(), stream)).await;
            match handshake.map_err(expired)? {
                Ok(stream) => Ok(Box::new(stream)),
                Err(source) => Err(ConsoleError::NotTrusted { address, source }),
            }
        }
    }
}
