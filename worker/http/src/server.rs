//! The running server: start, ping, drain.

use std::{
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use evonic_shared::{config, kind::Kind};
use prometheus_client::registry::Registry;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    sync::watch,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    acceptor::{Acceptor, BoundListeners},
    admission::Admission,
    body::BodyLimits,
    byte_stream::ByteStream,
    connection::serve_connection,
    guard::{Guard, Peer},
    keyring::Keyring,
    limits::Limits,
    metrics::Metrics,
    open_streams::OpenStreams,
    places::Places,
    proxies::Proxies,
    proxy_secret::ProxySecret,
    router::Router,
    routes::routes,
    server_state::ServerState,
    shutdown::Shutdown,
    state::{ApiState, App},
    tls::{Secure, TlsError},
};
use evonic_handles::Budget;

/// Buffer of a connection within the process, each way.
const INSIDE_BUFFER_BYTES: usize = 4096;

const PING: &[u8] = b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/// What the server accepts on.
#[derive(Debug)]
pub struct Listeners {
    /// TCP, behind TLS where that is configured: needs a key, except for health.
    pub http: std::net::TcpListener,
    /// Unix socket: root by peer credentials, others by a key.
    pub api: UnixListener,
    /// The supervisor's connection: served like an accepted one, outside the `http` budget.
    pub probe: Option<UnixStream>,
}

#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("a listener cannot be registered")]
    Listener(#[from] std::io::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("http.proxy_secret_file: {} holds no secret that can be used", path.display())]
    ProxySecret {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// The running server. Dropping it stops it at once, without the grace of [`Server::drain`].
pub struct Server {
    pub(super) state: Arc<ServerState>,
    pub(super) acceptor: TaskTracker,
    /// Clients' connections, and the changes that outlive them.
    pub(super) connections: TaskTracker,
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
        let (generation, shutdown, connections) =
            (app.generation, Shutdown::default(), TaskTracker::new());
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        let keyring = Keyring::new(app.store.clone(), connections.clone(), shutdown.cut.clone());
        let places = Places::new(budget.limit(Kind::Http), &settings);
        let limits = Limits::new(&app.config.limits, app.limiter.clone(), &mut registry);
        let (watching, ends) = (keyring.clone(), places.clone());
        let draining = shutdown.draining.clone();
        connections.spawn(async move {
            let follow = watching.follow(|key| ends.evict_stalled(key));
            draining.run_until_cancelled(follow).await;
        });
        let api = ApiState {
            app,
            keyring: keyring.clone(),
            registry,
            shutdown: shutdown.clone(),
            changes: connections.clone(),
            deleted: watch::Sender::new(()),
            copies: Default::default(),
            places: places.clone(),
            streams: OpenStreams::new(settings.max_streams_per_key),
        };
        let router = Router::new(routes(), &Arc::new(api), BodyLimits::new(&settings));
        let admission = Admission::new(keyring, limits, router);
        let guard = Guard::new(&settings, open_proxies(&settings)?);
        let secure = Secure::open(&settings.tls, &budget)?;
        let state =
            ServerState::new(settings, guard, places, admission, generation, metrics, shutdown);
        Ok(Self::serve(state, secure, budget, connections, listeners)?)
    }

    pub(super) fn serve(
        state: ServerState,
        secure: Option<Secure>,
        budget: Budget,
        connections: TaskTracker,
        listeners: Listeners,
    ) -> std::io::Result<Self> {
        let Listeners { http, api, probe } = listeners;
        http.set_nonblocking(true)?;
        api.set_nonblocking(true)?;
        let listeners = BoundListeners {
            http: tokio::net::TcpListener::from_std(http)?,
            api: tokio::net::UnixListener::from_std(api)?,
        };
        let server = Self {
            state: Arc::new(state),
            acceptor: TaskTracker::new(),
            connections,
            inside: TaskTracker::new(),
            ended: CancellationToken::new(),
        };
        if let Some(probe) = probe {
            probe.set_nonblocking(true)?;
            let stream = tokio::net::UnixStream::from_std(probe)?;
            server.inside.spawn(server.serve_inside(Box::new(stream)));
        }
        let connections = server.connections.clone();
        let acceptor = Acceptor::new(Arc::clone(&server.state), secure, budget, connections);
        server.acceptor.spawn(acceptor.run(listeners));
        Ok(server)
    }

    fn serve_inside(&self, stream: ByteStream) -> impl Future<Output = ()> + use<> {
        serve_connection(Arc::clone(&self.state), stream, Peer::Inside, None)
    }

    /// `GET /livez` over a real connection and the real router, inside this process. Holds no
    /// descriptor. Cancel safe.
    ///
    /// # Errors
    /// What came instead of 200.
    pub async fn ping(&self) -> Result<(), String> {
        let (client, server) = tokio::io::duplex(INSIDE_BUFFER_BYTES);
        let serve = self.serve_inside(Box::new(server));
        let (answer, ()) = tokio::join!(ask(client), serve);
        match answer {
            Ok(text) if text.starts_with("HTTP/1.1 200 ") => Ok(()),
            Ok(text) => Err(format!("answered '{}'", text.lines().next().unwrap_or_default())),
            Err(error) => Err(format!("no answer: {error}")),
        }
    }

    /// Stops accepting, ends event streams with a retry hint, answers what comes on kept
    /// connections with `Connection: close`, closes idle ones after `http.linger`, and cuts what
    /// is left after `timeout`. Returns how many were cut while something was under way.
    ///
    /// The probe is answered until the end.
    pub async fn drain(&self, timeout: Duration) -> usize {
        self.state.shutdown.draining.cancel();
        self.acceptor.close();
        self.acceptor.wait().await;
        self.connections.close();
        // After it what is left is cut, and is gone as soon as it is polled.
        let _ = tokio::time::timeout(timeout, self.connections.wait()).await;
        self.state.shutdown.cut.cancel();
        self.connections.wait().await;
        self.inside.close();
        self.inside.wait().await;
        self.ended.cancel();
        self.state.cuts.load(Ordering::Relaxed)
    }

    /// Fires when the listeners are closed and the last connection is gone.
    #[must_use]
    pub fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.shutdown.draining.cancel();
        self.state.shutdown.cut.cancel();
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let connections = self.connections.len();
        f.debug_struct("Server").field("connections", &connections).finish_non_exhaustive()
    }
}

/// The proxies that are believed.
fn open_proxies(settings: &config::Http) -> Result<Proxies, ServerError> {
    let read = |path: &PathBuf| {
        ProxySecret::read(path)
            .map_err(|source| ServerError::ProxySecret { path: path.clone(), source })
    };
    let secret = settings.proxy_secret_file.as_ref().map(read).transpose()?;
    let local = settings.trusted_proxies.iter().find(|network| network.has_loopback());
    if let (Some(network), None) = (local, &secret) {
        tracing::warn!(
            %network,
            "proxies of this machine are not believed without http.proxy_secret_file"
        );
    }
    Ok(Proxies::new(settings, secret))
}

/// Writes a ping and reads its whole answer.
async fn ask(mut client: DuplexStream) -> std::io::Result<String> {
    client.write_all(PING).await?;
    let mut answer = String::new();
    client.read_to_string(&mut answer).await?;
    Ok(answer)
}
