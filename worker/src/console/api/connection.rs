//! Connections to the worker.

use std::io;

use evonic_net::{ConnectError, Stream};
use tokio::net::UnixStream;

use crate::console::{error::ConsoleError, server::Server};

#[expect(
    clippy::disallowed_methods,
    reason = "the console is a client in a process of its own, outside the worker's budget"
)]
pub(super) async fn connect(server: &Server) -> Result<Box<dyn Stream>, ConsoleError> {
    match server {
        Server::Unix(socket) => match UnixStream::connect(socket).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(source) => Err(ConsoleError::unreachable(socket, source)),
        },
        Server::Tcp { authority, connector, .. } => {
            let address = format!("{}:{}", authority.host(), connector.peer.port);
            // A process of its own, outside the worker's budget.
            connector.connect(()).await.map_err(|error| match error {
                ConnectError::Timeout { limit, .. } => ConsoleError::Timeout { limit },
                ConnectError::Tls { source, .. } => ConsoleError::NotTrusted { address, source },
                ConnectError::Connect { source, .. } => {
                    ConsoleError::NotRunning { address, source }
                }
                ConnectError::Resolve(error) => {
                    ConsoleError::NotRunning { address, source: io::Error::other(error) }
                }
            })
        }
    }
}
