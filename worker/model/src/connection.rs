//! The gate of kind `model`: one connection for one call, closed with it.
//!
//! A call owns its connection outright. There is no pool and no task behind it: whoever waits for
//! an answer also drives the connection, so dropping the call closes the socket there and then,
//! and the permit is given back after that.

use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    os::fd::AsRawFd,
    pin::{Pin, pin},
    time::Duration,
};

use bytes::Bytes;
use evonic_shared::kind::Kind;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{Builder, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use evonic_handles::{Budget, Exhausted, Held, Permit};

/// The most bytes that are read ahead of their use, and of an answer's headers.
const MAX_BUFFER_BYTES: usize = 64 * 1024;

/// The most addresses of a host that are tried; each has an equal share of the time.
const MAX_ADDRESSES: usize = 4;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
    #[error("{host} cannot be resolved")]
    Resolve {
        host: String,
        #[source]
        source: io::Error,
    },
    #[error("{host} has no address")]
    NoAddress { host: String },
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
    #[error("no connection to {host} within {} s", timeout.as_secs_f32())]
    Timeout { host: String, timeout: Duration },
    #[error("no HTTP connection")]
    Http(#[source] hyper::Error),
}

impl ConnectError {
    /// Whether trying again would end in the same way: the certificate or the protocol is wrong.
    pub(super) fn is_permanent(&self) -> bool {
        match self {
            Self::Tls { source, .. } => {
                source.get_ref().is_some_and(|source| source.is::<rustls::Error>())
            }
            _ => false,
        }
    }
}

/// Where to connect.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// A name, or an address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

/// Opens connections to one peer.
pub(super) struct Connector {
    pub(super) peer: Peer,
    pub(super) budget: Budget,
    /// Absent for plain HTTP.
    pub(super) tls: Option<TlsConnector>,
    /// For each of: a permit, a connection.
    pub(super) timeout: Duration,
}

impl Connector {
    /// Opens a connection. Cancel safe. Holds one descriptor, then and in the result.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub(super) async fn open(&self) -> Result<Held<Connection>, ConnectError> {
        let permit = self.budget.acquire(Kind::Model, self.timeout).await?;
        let host = || self.peer.host.clone();
        tokio::time::timeout(self.timeout, self.connect(permit))
            .await
            .unwrap_or_else(|_| Err(ConnectError::Timeout { host: host(), timeout: self.timeout }))
    }

    async fn connect(&self, permit: Permit) -> Result<Held<Connection>, ConnectError> {
        let (mut permit, addresses) = self.resolve(permit).await?;
        let stream = self.first_reachable(&addresses).await?;
        permit.owns(1, u32::try_from(stream.as_raw_fd()).ok());
        let connection = match &self.tls {
            None => Connection::over(TokioIo::new(stream)).await?,
            Some(tls) => {
                let secured = async {
                    let name = rustls::pki_types::ServerName::try_from(self.peer.host.clone())
                        .map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
                    tls.connect(name, stream).await
                };
                let host = || self.peer.host.clone();
                let secured =
                    secured.await.map_err(|source| ConnectError::Tls { host: host(), source })?;
                Connection::over(TokioIo::new(secured)).await?
            }
        };
        Ok(Held::new(connection, permit))
    }

    /// The host's addresses. The permit goes with the look-up, which cannot be cancelled: it comes
    /// back when the resolver's socket is closed, however early this future is dropped.
    async fn resolve(&self, permit: Permit) -> Result<(Permit, Vec<SocketAddr>), ConnectError> {
        let Peer { host, port } = self.peer.clone();
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok((permit, vec![SocketAddr::new(ip, port)]));
        }
        let look_up = {
            let host = host.clone();
            move || {
                let mut permit = permit;
                permit.owns(1, None);
                let found = (host.as_str(), port).to_socket_addrs();
                permit.owns(0, None);
                (permit, found.map(|found| found.take(MAX_ADDRESSES).collect::<Vec<_>>()))
            }
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "the gate: bounded by the permits of its kind, which go with the look-ups"
        )]
        let looked_up = tokio::task::spawn_blocking(look_up).await;
        let (permit, found) = looked_up.map_err(|source| ConnectError::Resolve {
            host: host.clone(),
            source: source.into(),
        })?;
        match found {
            Ok(addresses) if addresses.is_empty() => Err(ConnectError::NoAddress { host }),
            Ok(addresses) => Ok((permit, addresses)),
            Err(source) => Err(ConnectError::Resolve { host, source }),
        }
    }

    /// A connection to the first address that answers within its share of the time.
    async fn first_reachable(&self, addresses: &[SocketAddr]) -> Result<TcpStream, ConnectError> {
        let share = self.timeout / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
        let mut last = ConnectError::NoAddress { host: self.peer.host.clone() };
        for &address in addresses {
            #[expect(clippy::disallowed_methods, reason = "the gate: under a permit of its kind")]
            let connecting = TcpStream::connect(address);
            let source = match tokio::time::timeout(share, connecting).await {
                Ok(Ok(stream)) => {
                    // Only a matter of speed: a socket that refuses the option works all the same.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Ok(Err(source)) => source,
                Err(_) => io::ErrorKind::TimedOut.into(),
            };
            last = ConnectError::Connect { address, source };
        }
        Err(last)
    }
}

/// What moves bytes between the socket and the call; ends when the connection does.
type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// An open connection, for one call.
pub(super) struct Connection {
    /// Absent when the connection has ended; what it ended with is told to the call.
    driver: Option<Driver>,
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    async fn over<T>(io: T) -> Result<Self, ConnectError>
    where
        T: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    {
        let mut builder = Builder::new();
        builder.max_buf_size(MAX_BUFFER_BYTES).max_header_size(MAX_BUFFER_BYTES);
        let (sender, connection) = builder.handshake(io).await.map_err(ConnectError::Http)?;
        Ok(Self { driver: Some(Box::pin(connection)), sender })
    }

    /// Sends the request, and waits for the answer's headers.
    pub(super) async fn call(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> hyper::Result<Response<Incoming>> {
        let answer = self.sender.send_request(request);
        drive(&mut self.driver, answer).await
    }

    /// The next piece of the answer's body; nothing at its end. Cancel safe.
    pub(super) async fn piece(&mut self, body: &mut Incoming) -> hyper::Result<Option<Bytes>> {
        loop {
            match drive(&mut self.driver, body.frame()).await {
                None => return Ok(None),
                Some(Err(error)) => return Err(error),
                // Anything but data is trailers, which mean nothing here.
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => return Ok(Some(data)),
                    Ok(_) | Err(_) => {}
                },
            }
        }
    }
}

/// Drives the connection until what waits on it is ready.
async fn drive<T>(driver: &mut Option<Driver>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    std::future::poll_fn(|context| {
        if driver.as_mut().is_some_and(|driver| driver.as_mut().poll(context).is_ready()) {
            *driver = None;
        }
        work.as_mut().poll(context)
    })
    .await
}
