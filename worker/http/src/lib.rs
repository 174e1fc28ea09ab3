//! HTTP: warp filters behind an accept loop of our own.
//!
//! Permit before accept; bounds on headers, bodies and pauses; problem details for every error;
//! drain that ends streams and idle connections and answers the rest with `Connection: close`.
//!
//! ```text
//! accept -> connection (wire, progress) -> exchange (guard, admission) -> routes -> store, agents
//! ```
//!
//! | Part | What it does |
//! |---|---|
//! | `accept`, `tls` | the gate: permit, accept, handshake, 503 when full |
//! | `connection`, `wire`, `progress` | a connection's time limits, and its close without a reset |
//! | `front`, `exchange`, `guard`, `proxies`, `metered` | what every request passes and every answer carries |
//! | `admission`, `caller`, `keyring` | who asks, and whether they may |
//! | `limits` | how often they may |
//! | `call`, `query`, `body`, `problem` | requests and answers in the form handlers want |
//! | `routes`, `follow`, `event_stream` | the resources, and their streams of events |
//! | `health`, `metrics`, `exposition`, `process` | what is told about the worker itself |

mod accept;
mod admission;
mod body;
mod call;
mod caller;
mod connection;
mod event_stream;
mod exchange;
mod exposition;
mod follow;
mod front;
#[doc(hidden)]
pub mod fuzzing;
mod guard;
mod health;
mod keyring;
mod limits;
mod metered;
mod metrics;
mod problem;
mod process;
mod progress;
mod proxies;
mod query;
mod routes;
mod supervision;
mod tls;
mod wire;

#[cfg(test)]
mod tests;

use std::{
    os::unix::net::{UnixListener, UnixStream},
    sync::Arc,
    time::{Duration, Instant},
};

use evonic_shared::config;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::watch,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::{supervision::Supervision, tls::TlsError};

use crate::{
    accept::{Doors, Gate},
    admission::Admission,
    connection::converse,
    exchange::Purpose,
    front::{Ends, Front},
    guard::{Guard, Peer},
    keyring::Keyring,
    limits::Limits,
    metrics::Metrics,
    routes::{Site, decisions::DECISIONS, routes},
    tls::Secure,
    wire::Carrier,
};
use evonic_agent::Agents;
use evonic_handles::Budget;
use evonic_model::Models;
use evonic_store::{Limiter, Store};
use evonic_tools::Registry;
use evonic_workplace::Workplaces;

/// Bytes that a connection within the process holds, each way.
const INSIDE_BYTES: usize = 4096;

/// What a ping asks.
const PING: &[u8] = b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/// What the routes serve from.
#[derive(Clone, Debug)]
pub struct App {
    /// The database.
    pub store: Store,
    /// Counts requests; none where nothing is counted.
    pub limiter: Option<Limiter>,
    /// The queue of turns.
    pub agents: Agents,
    /// The models, to check an agent's model by name.
    pub models: Models,
    /// The tools, to check an agent's tools by name.
    pub tools: Registry,
    /// Where agents' tools act.
    pub workplaces: Workplaces,
    /// The ledger.
    pub budget: Budget,
    /// The resolved configuration.
    pub config: Arc<config::Config>,
    /// What the supervisor told of itself.
    pub supervision: Supervision,
    /// This worker's generation.
    pub generation: u64,
    /// When it started.
    pub started: Instant,
}

/// What the server accepts on.
#[derive(Debug)]
pub struct Listeners {
    /// TCP, behind TLS where that is configured: with a key, but for health.
    pub http: std::net::TcpListener,
    /// Unix socket: root and the service's user, by peer credentials.
    pub api: UnixListener,
    /// The supervisor's connection: served like an accepted one, outside the `http` budget.
    pub probe: Option<UnixStream>,
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// A listener cannot be registered.
    #[error("a listener cannot be had")]
    Listener(#[from] std::io::Error),
    /// See [`TlsError`].
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// The running server. Dropping it stops it at once, without the grace of [`Server::drain`].
pub struct Server {
    front: Arc<Front>,
    /// The accept loop.
    doors: TaskTracker,
    /// Clients' connections, and the changes that outlive them.
    connections: TaskTracker,
    /// The probe's.
    inside: TaskTracker,
    ended: CancellationToken,
}

impl Server {
    /// Serves until drained. Takes over the listeners' descriptors; both stay shared with other
    /// workers. Called within the runtime.
    ///
    /// # Errors
    /// [`ServerError`].
    pub fn start(app: App, listeners: Listeners) -> Result<Self, ServerError> {
        let (budget, settings) = (app.budget.clone(), app.config.http.clone());
        let (generation, ends, connections) = (app.generation, Ends::default(), TaskTracker::new());
        let metrics = Arc::new(Metrics::new());
        let keyring = Keyring::new(app.store.clone(), connections.clone(), ends.cut.clone());
        let limits = Limits::new(&app.config.limits, app.limiter.clone(), Arc::clone(&metrics));
        let admission = Admission::new(keyring.clone(), limits, DECISIONS);
        let site = Site {
            app,
            keyring,
            metrics: Arc::clone(&metrics),
            ends: ends.clone(),
            changes: connections.clone(),
            deleted: watch::Sender::new(()),
            copies: Default::default(),
        };
        let routes = routes(&Arc::new(site));
        let guard = Guard::new(&settings);
        let secure = Secure::open(&settings.tls, &budget)?;
        let front = Front::new(settings, guard, admission, generation, metrics, ends, routes);
        Ok(Self::serve(front, secure, budget, connections, listeners)?)
    }

    fn serve(
        front: Front,
        secure: Option<Secure>,
        budget: Budget,
        connections: TaskTracker,
        listeners: Listeners,
    ) -> std::io::Result<Self> {
        let Listeners { http, api, probe } = listeners;
        http.set_nonblocking(true)?;
        api.set_nonblocking(true)?;
        let doors = Doors {
            http: tokio::net::TcpListener::from_std(http)?,
            api: tokio::net::UnixListener::from_std(api)?,
        };
        let server = Self {
            front: Arc::new(front),
            doors: TaskTracker::new(),
            connections,
            inside: TaskTracker::new(),
            ended: CancellationToken::new(),
        };
        if let Some(probe) = probe {
            probe.set_nonblocking(true)?;
            let carrier = Carrier::Probe(tokio::net::UnixStream::from_std(probe)?);
            server.inside.spawn(server.converse_inside(carrier));
        }
        let connections = server.connections.clone();
        let gate = Gate::new(Arc::clone(&server.front), secure, budget, connections);
        server.doors.spawn(gate.run(doors));
        Ok(server)
    }

    fn converse_inside(&self, carrier: Carrier) -> impl Future<Output = ()> + use<> {
        converse(Arc::clone(&self.front), carrier, Peer::Inside, Purpose::Serve)
    }

    /// `GET /livez` through a real connection and the real router, inside this process: the
    /// part's proof of life. Holds no descriptor. Cancel safe.
    ///
    /// # Errors
    /// A sentence that says what came instead of 200.
    pub async fn ping(&self) -> Result<(), String> {
        let (client, server) = tokio::io::duplex(INSIDE_BYTES);
        let serve = self.converse_inside(Carrier::Inside(server));
        let (answer, ()) = tokio::join!(ask(client), serve);
        match answer {
            Ok(text) if text.starts_with("HTTP/1.1 200 ") => Ok(()),
            Ok(text) => Err(format!("answered '{}'", text.lines().next().unwrap_or_default())),
            Err(error) => Err(format!("no answer: {error}")),
        }
    }

    /// Stops accepting, ends event streams with a retry hint, answers what comes on kept
    /// connections with `Connection: close`, closes idle ones after `http.linger`, and cuts what
    /// is left after `patience`. Returns how many were cut while something was under way.
    ///
    /// The probe is answered until the end.
    pub async fn drain(&self, patience: Duration) -> usize {
        self.front.ends.draining.cancel();
        self.doors.close();
        self.doors.wait().await;
        self.connections.close();
        // Past patience what is left is cut, and is gone as soon as it is polled.
        let _ = tokio::time::timeout(patience, self.connections.wait()).await;
        self.front.ends.cut.cancel();
        self.connections.wait().await;
        self.inside.close();
        self.inside.wait().await;
        self.ended.cancel();
        self.front.cuts()
    }

    /// Fires when the listeners are closed and the last connection is gone.
    #[must_use]
    pub fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.front.ends.draining.cancel();
        self.front.ends.cut.cancel();
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let connections = self.connections.len();
        f.debug_struct("Server").field("connections", &connections).finish_non_exhaustive()
    }
}

/// Writes a ping and reads its whole answer.
async fn ask(mut client: DuplexStream) -> std::io::Result<String> {
    client.write_all(PING).await?;
    let mut answer = String::new();
    client.read_to_string(&mut answer).await?;
    Ok(answer)
}
