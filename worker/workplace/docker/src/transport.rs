//! The gate of kind `docker`: one connection for one request, closed with it.
//!
//! ```text
//!   bollard --request--> Transport::send: permit, connect, write, wait for the answer's beginning
//!                           |
//!                        Socket { stream, permit }   moves bytes, counts them
//!                           |
//!      answer read or dropped, or the upgraded stream dropped: closed, then the permit comes back
//! ```
//!
//! An engine may be anybody, so a socket gives out no more bytes than the answer to its request may
//! have ([`Bound`]), for no longer than an answer may take: whoever reads it cannot hold more.
//!
//! There is no pool. The socket and its permit are one value, which goes wherever hyper takes the
//! socket, upgraded streams included: so the account is exact.

use std::{
    io,
    os::fd::AsRawFd,
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bollard::{BollardRequest, errors::Error};
use evonic_shared::kind::Kind;
use http::{HeaderValue, Response, Uri, header::HOST};
use hyper::{body::Incoming, client::conn::http1::Builder};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::UnixStream,
    sync::oneshot,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{bound::Bound, error::RequestError};
use evonic_handles::{Budget, Held, Permit};
use evonic_net::{Connector, Stream};

/// The most bytes that are read ahead of their use, and of an answer's headers.
const MAX_BUFFER_BYTES: usize = 256 * 1024;

/// An answer that is no stream is whole within this many times [`Transport::timeout`].
const ANSWER_FACTOR: u32 = 4;

/// How an engine is reached.
pub(super) enum Route {
    Unix(PathBuf),
    Tcp(Connector),
}

/// Sends requests to one engine.
pub(super) struct Transport {
    pub(super) route: Route,
    pub(super) budget: Budget,
    /// For each of: a permit, a connection, the beginning of an answer.
    pub(super) timeout: Duration,
    /// Drives the connections.
    pub(super) tasks: TaskTracker,
    /// Ends all of them.
    pub(super) closing: CancellationToken,
    /// Open connections.
    pub(super) open: Arc<AtomicU32>,
    /// The minor number of the version that requests are sent in, `1.N`; 0 while it is not known.
    pub(super) api: AtomicU32,
    /// What stands in for it meanwhile.
    pub(super) least: u32,
}

impl Transport {
    /// Sends a request and waits for the beginning of its answer. Cancel safe: a dropped request
    /// closes its connection.
    pub(super) async fn send(self: Arc<Self>, request: BollardRequest) -> Result<Answer, Error> {
        let bound = {
            let (method, uri) = (request.method().clone(), request.uri().clone());
            move |status| Bound::new(&method, &uri, status)
        };
        let request = self.addressed(request).map_err(RequestError::Request)?;
        let permit =
            self.budget.acquire(Kind::Docker, self.timeout).await.map_err(RequestError::from)?;
        let socket = self.connect(permit).await.inspect_err(|_| {
            // It may come back as another version.
            self.api.store(0, Ordering::Relaxed);
        })?;
        let flow = Arc::clone(&socket.flow);
        let mut builder = Builder::new();
        builder.max_buf_size(MAX_BUFFER_BYTES);
        let (mut sender, connection) = builder.handshake(TokioIo::new(socket)).await?;
        let limit = self.timeout.saturating_mul(ANSWER_FACTOR);
        let (answered, bounded) = oneshot::channel();
        let work = drive(Box::pin(connection.with_upgrades()), bounded, limit);
        let closing = self.closing.clone();
        self.tasks.spawn(async move { closing.run_until_cancelled(work).await });
        let mut answer = std::pin::pin!(sender.send_request(request));
        let mut before = 0;
        loop {
            match tokio::time::timeout(self.timeout, &mut answer).await {
                Ok(answer) => {
                    let answer = answer?;
                    let bound = bound(answer.status());
                    flow.allow(bound.bytes());
                    // A connection that is over needs no deadline.
                    let _over = answered.send(bound);
                    return Ok(answer);
                }
                // A long body may still be on its way.
                Err(_) => match flow.written.load(Ordering::Relaxed) {
                    now if now == before => return Err(RequestError::Silent(self.timeout).into()),
                    now => before = now,
                },
            }
        }
    }

    /// In origin form, with a version in its path. Only `/version` goes without: it is asked to
    /// find out.
    fn addressed(&self, mut request: BollardRequest) -> Result<BollardRequest, http::Error> {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let path = match (path, self.api.load(Ordering::Relaxed)) {
            ("/version", _) => path.to_owned(),
            (_, 0) => format!("/v1.{}{path}", self.least),
            (_, minor) => format!("/v1.{minor}{path}"),
        };
        *request.uri_mut() = Uri::builder().path_and_query(path).build()?;
        request.headers_mut().insert(HOST, HeaderValue::from_static("docker"));
        Ok(request)
    }

    async fn connect(&self, mut permit: Permit) -> Result<Socket, RequestError> {
        let stream: Box<dyn Stream> = match &self.route {
            Route::Unix(path) => {
                #[expect(clippy::disallowed_methods, reason = "the gate: under a permit")]
                let connecting = tokio::time::timeout(self.timeout, UnixStream::connect(path));
                let connected = connecting.await.unwrap_or(Err(io::ErrorKind::TimedOut.into()));
                let stream = connected.map_err(RequestError::Socket)?;
                permit.owns(1, u32::try_from(stream.as_raw_fd()).ok());
                Box::new(Pin::new(Held::new(stream, permit)))
            }
            Route::Tcp(connector) => connector.connect(permit).await?,
        };
        Ok(Socket { stream, flow: Arc::default(), _open: Open::one(&self.open) })
    }
}

type Answer = Response<Incoming>;

/// What moves the bytes of a connection; ends when that does.
type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// Moves the bytes of a connection until it is over, or its answer takes too long.
async fn drive(driver: Driver, bounded: oneshot::Receiver<Bound>, limit: Duration) {
    let late = async {
        if let Ok(Bound::Whole(_)) = bounded.await {
            tokio::time::sleep(limit).await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        // The request gets the connection's error.
        _ended = driver => {}
        () = late => {}
    }
}

/// A connection.
struct Socket {
    /// Holds the permit.
    stream: Box<dyn Stream>,
    flow: Arc<Flow>,
    _open: Open,
}

/// Bytes that went over a connection, and may.
struct Flow {
    written: AtomicU64,
    read: AtomicU64,
    /// The most that may be read.
    limit: AtomicU64,
}

impl Default for Flow {
    /// Before it is known what is answered, as much as a head may have.
    fn default() -> Self {
        let limit = AtomicU64::new(2 * MAX_BUFFER_BYTES as u64);
        Self { written: AtomicU64::new(0), read: AtomicU64::new(0), limit }
    }
}

impl Flow {
    /// Allows so many bytes more.
    fn allow(&self, bytes: u64) {
        let read = self.read.load(Ordering::Relaxed);
        self.limit.store(read.saturating_add(bytes), Ordering::Relaxed);
    }
}

/// One of the open connections.
struct Open(Arc<AtomicU32>);

impl Open {
    fn one(open: &Arc<AtomicU32>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(open))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let done = Pin::new(&mut self.stream).poll_read(context, buffer);
        let came = (buffer.filled().len() - before) as u64;
        let read = self.flow.read.fetch_add(came, Ordering::Relaxed) + came;
        let limit = self.flow.limit.load(Ordering::Relaxed);
        if read > limit {
            return Poll::Ready(Err(io::Error::other(RequestError::TooLong(limit))));
        }
        done
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(context, bytes);
        if let Poll::Ready(Ok(written)) = done {
            self.flow.written.fetch_add(written as u64, Ordering::Relaxed);
        }
        done
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
