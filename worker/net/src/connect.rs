//! TCP connections, tried address by address, and TLS over them.

use std::{io, net::SocketAddr, time::Duration};

use rustix::net::sockopt;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::TlsConnector;

use super::{Account, Peer, ResolveError, resolve};

/// The most addresses of a host that are tried; each has an equal share of the time left.
const MAX_ADDRESSES: usize = 4;

/// The bytes of a connection.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Probes by which the kernel notices a dead peer, within `interval * (probes + 1)`.
#[derive(Clone, Copy, Debug)]
pub struct Keepalive {
    /// The silence before the first probe, and between two.
    pub interval: Duration,
    pub probes: u32,
}

/// How one peer is reached.
#[derive(Clone)]
pub struct Connector {
    pub peer: Peer,
    /// Absent for plain TCP.
    pub tls: Option<TlsConnector>,
    pub keepalive: Option<Keepalive>,
    /// For look-up, connection and handshake together.
    pub limit: Duration,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").field("peer", &self.peer).finish_non_exhaustive()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// Of the address that was tried last.
    #[error("{address} cannot be connected")]
    Connect {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("no secure connection to {host}")]
    Tls {
        host: String,
        #[source]
        source: io::Error,
    },
    #[error("no connection to {host} within {} s", limit.as_secs_f32())]
    Timeout { host: String, limit: Duration },
}

impl ConnectError {
    /// Whether the peer's certificate or protocol is wrong: the next attempt would end the same.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        let Self::Tls { source, .. } = self else { return false };
        source.get_ref().is_some_and(|source| source.is::<rustls::Error>())
    }
}

impl Connector {
    /// Opens a connection, which holds the account. Cancel safe. Holds one descriptor at a time,
    /// then and in the result.
    ///
    /// # Errors
    /// [`ConnectError`]; the account is settled, or goes with a look-up until that ends.
    pub async fn connect<A: Account>(&self, account: A) -> Result<Box<dyn Stream>, ConnectError> {
        let Self { limit, peer, .. } = self;
        let deadline = Instant::now() + *limit;
        let opened = timeout_at(deadline, self.open(account, deadline)).await;
        opened.unwrap_or_else(|_| {
            Err(ConnectError::Timeout { host: peer.host.clone(), limit: *limit })
        })
    }

    /// As [`Connector::connect`], to one of these addresses of the peer: nothing is looked up.
    pub(crate) async fn connect_to<A: Account>(
        &self,
        addresses: &[SocketAddr],
        account: A,
    ) -> Result<Box<dyn Stream>, ConnectError> {
        let deadline = Instant::now() + self.limit;
        let opened = timeout_at(deadline, self.secure(addresses, account, deadline)).await;
        opened.unwrap_or_else(|_| {
            Err(ConnectError::Timeout { host: self.peer.host.clone(), limit: self.limit })
        })
    }

    async fn open<A: Account>(
        &self,
        account: A,
        deadline: Instant,
    ) -> Result<Box<dyn Stream>, ConnectError> {
        let (addresses, account) = resolve(&self.peer, account).await?;
        self.secure(&addresses, account, deadline).await
    }

    async fn secure<A: Account>(
        &self,
        addresses: &[SocketAddr],
        account: A,
        deadline: Instant,
    ) -> Result<Box<dyn Stream>, ConnectError> {
        let stream = self.first_reachable(addresses, deadline).await?;
        let stream = account.hold(stream);
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let host = || self.peer.host.clone();
        let secured = async {
            let name = ServerName::try_from(host())
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
            tls.connect(name, stream).await
        };
        match secured.await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(source) => Err(ConnectError::Tls { host: host(), source }),
        }
    }

    async fn first_reachable(
        &self,
        addresses: &[SocketAddr],
        deadline: Instant,
    ) -> Result<TcpStream, ConnectError> {
        let host = self.peer.host.clone();
        let mut last = ConnectError::Resolve(ResolveError::NoAddress { host });
        let tried = addresses.len().min(MAX_ADDRESSES);
        for (left, &address) in (1..=tried).rev().zip(addresses) {
            let left = u32::try_from(left).unwrap_or(u32::MAX);
            let share = deadline.saturating_duration_since(Instant::now()) / left;
            let source = match timeout(share, self.open_tcp(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(source)) => source,
                Err(_) => io::ErrorKind::TimedOut.into(),
            };
            last = ConnectError::Connect { address, source };
        }
        Err(last)
    }

    async fn open_tcp(&self, address: SocketAddr) -> io::Result<TcpStream> {
        #[expect(clippy::disallowed_methods, reason = "the gate: every caller brings an account")]
        let stream = TcpStream::connect(address).await?;
        // Only a matter of speed: a socket that refuses the option works all the same.
        let _ = stream.set_nodelay(true);
        if let Some(Keepalive { interval, probes }) = self.keepalive {
            sockopt::set_socket_keepalive(&stream, true)?;
            sockopt::set_tcp_keepidle(&stream, interval)?;
            sockopt::set_tcp_keepintvl(&stream, interval)?;
            sockopt::set_tcp_keepcnt(&stream, probes)?;
        }
        Ok(stream)
    }
}

#[cfg(test)]
mod tests;
