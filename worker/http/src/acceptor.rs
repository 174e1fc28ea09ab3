//! Accepts connections: a permit of kind `http` first, then accept, then its place, then serve.
//!
//! Both listeners are shared with other workers: when one connection waits, each is woken, one
//! gets it, and the others find nothing. A worker that has no permit leaves the connection in
//! the queue; but it has one soon, whatever clients do: there are more permits than places, and who
//! has lost its place gives its permit back at once.

use std::{
    io,
    os::fd::AsRawFd,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use evonic_shared::kind::Kind;
use rustix::io::Errno;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::task::TaskTracker;

use crate::{
    byte_stream::ByteStream,
    connection::serve_connection,
    guard::Peer,
    metrics::Refusal,
    places::{NoPlace, Place},
    server_state::ServerState,
    tls::Secure,
};
use evonic_handles::{Budget, Held, Permit};

/// A refused connection gives its permit back after this time, answered or not. Well below
/// `supervisor.accept_stall`: clients that are slow to take their refusal must not stall the queue.
const REFUSAL_TIMEOUT: Duration = Duration::from_millis(500);

/// The first pause after an error that is ours: no memory, or, if something leaks past the
/// budget, no descriptor. Doubles up to [`LONGEST_PAUSE`]: such an error does not take the
/// waiting connection out of the queue, and trying again at once would only spin.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// See [`FIRST_PAUSE`].
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A wait for a permit is renewed after this time, so that the budget's count of refusals shows
/// that clients are waiting.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(1);

/// The registered listeners.
#[derive(Debug)]
pub(super) struct BoundListeners {
    /// TCP.
    pub(super) http: TcpListener,
    /// The Unix socket.
    pub(super) api: UnixListener,
}

/// A connection that was just accepted.
enum Accepted {
    Tcp(Held<TcpStream>),
    Unix(Held<UnixStream>),
}

pub(super) struct Acceptor {
    server: Arc<ServerState>,
    /// TLS on the TCP listener.
    secure: Option<Arc<Secure>>,
    budget: Budget,
    connections: TaskTracker,
}

impl Acceptor {
    /// Accepts within this budget; connections run on the tracker.
    pub(super) fn new(
        server: Arc<ServerState>,
        secure: Option<Secure>,
        budget: Budget,
        connections: TaskTracker,
    ) -> Self {
        Self { server, secure: secure.map(Arc::new), budget, connections }
    }

    /// Accepts until the worker drains; then drops the registrations, and with them this worker's
    /// descriptors of the listeners. One permit waits with it for the next connection.
    pub(super) async fn run(self, listeners: BoundListeners) {
        let draining = self.server.shutdown.draining.clone();
        draining.run_until_cancelled(self.accept(&listeners)).await;
    }

    async fn accept(&self, listeners: &BoundListeners) {
        let mut pause = FIRST_PAUSE;
        loop {
            let permit = self.permit().await;
            match listeners.next(permit).await {
                Ok((accepted, peer)) => {
                    pause = FIRST_PAUSE;
                    self.start(accepted, peer);
                }
                // The client went before it was accepted.
                Err(error) if is_clients(&error) => {}
                Err(error) => {
                    tracing::warn!(error = %error, pause_ms = pause.as_millis(), "cannot accept");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    async fn permit(&self) -> Permit {
        loop {
            if let Ok(permit) = self.budget.acquire(Kind::Http, PERMIT_TIMEOUT).await {
                return permit;
            }
        }
    }

    /// Starts a connection: served if there is a place for it, else refused.
    fn start(&self, accepted: Accepted, peer: Peer) {
        let (server, secure) = (Arc::clone(&self.server), self.secure.clone());
        let (place, refused) = server.places.admit(peer, &server.guard.proxies, &server.metrics);
        match refused {
            Some(NoPlace::Full) => server.metrics.refused(Refusal::Full),
            Some(NoPlace::Address) => server.metrics.refused(Refusal::Address),
            Some(NoPlace::Key) | None => {}
        }
        self.connections.spawn(async move {
            let place = Arc::new(place);
            let mut serving = pin!(serve(server, secure, accepted, peer, &place));
            if refused.is_some() {
                let refusal = tokio::time::timeout(REFUSAL_TIMEOUT, serving.as_mut()).await;
                // Its time is over, unless it has shown a key that has a place.
                if refusal.is_ok() || place.refusal().is_some() {
                    return;
                }
            }
            serving.await;
        });
    }
}

/// Serves a connection; over TCP it begins with TLS where that is configured.
async fn serve(
    server: Arc<ServerState>,
    secure: Option<Arc<Secure>>,
    accepted: Accepted,
    peer: Peer,
    place: &Arc<Place>,
) {
    let stream: Option<ByteStream> = match (accepted, secure) {
        (Accepted::Tcp(stream), Some(secure)) => {
            let handshake = secure.handshake(&server, stream);
            tokio::select! {
                biased;
                () = place.evicted() => None,
                stream = handshake => stream,
            }
        }
        (Accepted::Tcp(stream), None) => Some(Box::new(Pin::new(stream))),
        (Accepted::Unix(stream), _) => Some(Box::new(Pin::new(stream))),
    };
    if let Some(stream) = stream {
        serve_connection(server, stream, peer, Some(Arc::clone(place))).await;
    }
}

impl BoundListeners {
    /// The next connection of either listener under this permit, and its peer. Cancel safe.
    async fn next(&self, mut permit: Permit) -> io::Result<(Accepted, Peer)> {
        // Whichever waits, by chance: neither keeps the other waiting for long.
        tokio::select! {
            unix = self.api.accept() => {
                let (stream, _) = unix?;
                let peer = peer(&stream);
                permit.owns(1, number(&stream));
                Ok((Accepted::Unix(Held::new(stream, permit)), peer))
            }
            tcp = self.http.accept() => {
                let (stream, peer) = tcp?;
                // Answers and events are written whole: waiting for more only delays them. It
                // fails only where the client is gone, which its first read reports.
                let _ = stream.set_nodelay(true);
                permit.owns(1, number(&stream));
                Ok((Accepted::Tcp(Held::new(stream, permit)), Peer::Tcp(peer)))
            }
        }
    }
}

fn number(stream: &impl AsRawFd) -> Option<u32> {
    u32::try_from(stream.as_raw_fd()).ok()
}

/// The user at the other end of a Unix socket.
fn peer(stream: &UnixStream) -> Peer {
    Peer::Unix(stream.peer_cred().ok().map(|peer| peer.uid()))
}

/// Errors of one connection, which the next one does not share: accept(2) counts those of its
/// network among them.
fn is_clients(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(
            Errno::CONNABORTED
                | Errno::INTR
                | Errno::PERM
                | Errno::PROTO
                | Errno::NETDOWN
                | Errno::NOPROTOOPT
                | Errno::HOSTDOWN
                | Errno::NONET
                | Errno::HOSTUNREACH
                | Errno::OPNOTSUPP
                | Errno::NETUNREACH
        )
    )
}
