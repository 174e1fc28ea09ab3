//! The gate of `http` descriptors: permit, then accept, then a connection's life.
//!
//! Both listeners are shared with other workers: when one connection waits, each is told, one
//! gets it, and the others find nothing. A worker that has no permit leaves the connection in
//! the queue. Most of the budget serves; a small part of it only ever answers 503, so that a
//! client of a full server is told so instead of being left to wait. What comes beyond that part
//! stays in the kernel's queue until an answered one is gone, a few seconds at the most.

use std::{io, net::SocketAddr, os::fd::AsRawFd, sync::Arc, time::Duration};

use evonic_shared::{
    kind::Kind,
    peer::{is_command, limits_path},
};
use rustix::io::Errno;
use tokio::{
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::Semaphore,
};
use tokio_util::task::TaskTracker;

use crate::{
    connection::converse, exchange::Purpose, guard::Peer, metrics::Refusal,
    server_state::ServerState, tls::Secure, wire::Carrier,
};
use evonic_handles::{Budget, Held, Permit};

/// The most places that only refuse: an eighth of the budget, if that is less.
const REFUSING: u32 = 8;

/// A refused connection gives its place back after this time, answered or not. Well below
/// `supervisor.accept_stall`: clients that dawdle over their refusal must not make the queue stand.
const REFUSAL: Duration = Duration::from_millis(500);

/// The first pause after an error that is ours: no memory, or, if something leaks past the
/// budget, no descriptor. Doubles up to [`LONGEST_PAUSE`]: such an error does not take the
/// waiting connection out of the queue, and trying again at once would only spin.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// See [`FIRST_PAUSE`].
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A wait for a permit is renewed after this time, so that the ledger's count of refusals shows
/// that clients are waiting.
const PERMIT_PATIENCE: Duration = Duration::from_secs(1);

/// The registered listeners.
#[derive(Debug)]
pub(super) struct Doors {
    /// TCP.
    pub(super) http: TcpListener,
    /// The Unix socket.
    pub(super) api: UnixListener,
}

/// A connection that was just accepted.
enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

/// Lets connections in.
pub(super) struct Gate {
    server: Arc<ServerState>,
    /// TLS on the TCP listener.
    secure: Option<Arc<Secure>>,
    budget: Budget,
    serving: Arc<Semaphore>,
    connections: TaskTracker,
}

impl Gate {
    /// A gate for this budget; connections run on the tracker.
    pub(super) fn new(
        server: Arc<ServerState>,
        secure: Option<Secure>,
        budget: Budget,
        connections: TaskTracker,
    ) -> Self {
        let limit = limit(&budget);
        let refusing = REFUSING.min(limit / 8).max(1).min(limit.saturating_sub(1));
        let serving = Arc::new(Semaphore::new((limit - refusing) as usize));
        Self { server, secure: secure.map(Arc::new), budget, serving, connections }
    }

    /// Accepts until the worker drains; then drops the registrations, and with them this worker's
    /// descriptors of the listeners. One permit waits with it for the next connection.
    pub(super) async fn run(self, doors: Doors) {
        let draining = self.server.shutdown.draining.clone();
        draining.run_until_cancelled(self.accept(&doors)).await;
    }

    async fn accept(&self, doors: &Doors) {
        let mut pause = FIRST_PAUSE;
        loop {
            let permit = self.permit().await;
            match doors.next().await {
                Ok(accepted) => {
                    pause = FIRST_PAUSE;
                    self.admit(accepted, permit);
                }
                // The client went before it was accepted.
                Err(error) if is_clients(&error) => {}
                Err(error) => {
                    drop(permit);
                    tracing::warn!(error = %error, pause_ms = pause.as_millis(), "cannot accept");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    async fn permit(&self) -> Permit {
        loop {
            if let Ok(permit) = self.budget.acquire(Kind::Http, PERMIT_PATIENCE).await {
                return permit;
            }
        }
    }

    /// Starts a connection's life: served if a place is free, else refused.
    fn admit(&self, accepted: Accepted, mut permit: Permit) {
        permit.owns(1, accepted.number());
        let (carrier, peer) = accepted.carry(permit);
        let (server, secure) = (Arc::clone(&self.server), self.secure.clone());
        if let Ok(place) = Arc::clone(&self.serving).try_acquire_owned() {
            self.connections.spawn(async move {
                meet(server, secure, carrier, peer, Purpose::Serve).await;
                drop(place);
            });
        } else {
            self.server.metrics.refused(Refusal::Full);
            self.connections.spawn(async move {
                let refusal = meet(server, secure, carrier, peer, Purpose::Refuse);
                // Timing out is the end of patience; there is nobody to tell.
                let _ = tokio::time::timeout(REFUSAL, refusal).await;
            });
        }
    }
}

/// A connection's life: over TCP it begins with TLS where that is configured.
async fn meet(
    server: Arc<ServerState>,
    secure: Option<Arc<Secure>>,
    carrier: Carrier,
    peer: Peer,
    purpose: Purpose,
) {
    let carrier = match (carrier, secure) {
        (Carrier::Tcp(stream), Some(secure)) => secure.greet(&server, stream).await,
        (carrier, _) => Some(carrier),
    };
    if let Some(carrier) = carrier {
        converse(server, carrier, peer, purpose).await;
    }
}

impl Doors {
    /// The next connection of either listener. Cancel safe.
    async fn next(&self) -> io::Result<Accepted> {
        tokio::select! {
            tcp = self.http.accept() => tcp.map(|(stream, peer)| Accepted::Tcp(stream, peer)),
            unix = self.api.accept() => unix.map(|(stream, _)| Accepted::Unix(stream)),
        }
    }
}

impl Accepted {
    fn number(&self) -> Option<u32> {
        let number = match self {
            Self::Tcp(stream, _) => stream.as_raw_fd(),
            Self::Unix(stream) => stream.as_raw_fd(),
        };
        u32::try_from(number).ok()
    }

    /// The connection with its permit, and who is at its other end.
    fn carry(self, permit: Permit) -> (Carrier, Peer) {
        match self {
            Self::Tcp(stream, peer) => {
                // Answers and events are written whole: waiting for more only delays them. It
                // fails only where the client is gone, which its first read will tell.
                let _ = stream.set_nodelay(true);
                (Carrier::Tcp(Held::new(stream, permit)), Peer::Tcp(peer))
            }
            Self::Unix(stream) => {
                let peer = peer(&stream);
                (Carrier::Unix(Held::new(stream, permit)), peer)
            }
        }
    }
}

/// Who is at the other end of a Unix socket.
fn peer(stream: &UnixStream) -> Peer {
    let Ok(peer) = stream.peer_cred() else { return Peer::Unix(None) };
    // What is in a namespace that is not below ours has no pid here, and was not started here.
    let pid = peer.pid().and_then(|pid| u32::try_from(pid).ok()).filter(|&pid| pid != 0);
    let may_be_command = peer.uid() == rustix::process::geteuid().as_raw();
    match pid.filter(|_| may_be_command) {
        Some(pid) if is_command(&std::fs::read_to_string(limits_path(pid)).unwrap_or_default()) => {
            Peer::Command
        }
        _ => Peer::Unix(Some(peer.uid())),
    }
}

fn limit(budget: &Budget) -> u32 {
    budget.usage().iter().find(|usage| usage.kind == Kind::Http).map_or(1, |usage| usage.limit)
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
