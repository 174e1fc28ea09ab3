//! A running server on a free port.

use std::{
    net::SocketAddr,
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use evonic_shared::{config::Config, kind::Kind};
use prometheus_client::registry::Registry;
use tokio::runtime::Runtime;
use tokio_util::task::TaskTracker;

use super::{client::Client, odd};
use crate::{
    Listeners, Server,
    admission::Admission,
    body::BodyLimits,
    guard::Guard,
    keyring::Keyring,
    limits::Limits,
    metrics::Metrics,
    places::{Activity, Places},
    proxies::Proxies,
    router::Router,
    server_state::ServerState,
    shutdown::Shutdown,
    tls::Secure,
};
use evonic_domain::{Origin, Scope, Token};
use evonic_handles::{Budget, Page};
use evonic_store::{KeyRow, Store};

/// A running server and what is needed to look into it.
pub(super) struct TestServer {
    pub(super) runtime: Runtime,
    pub(super) server: Server,
    pub(super) address: SocketAddr,
    pub(super) budget: Budget,
    pub(super) socket: PathBuf,
    pub(super) probe: UnixStream,
    /// Shown by every request that [`TestServer::head`] begins.
    pub(super) key: Option<String>,
    /// Further header lines of those.
    pub(super) headers: String,
    _folder: evonic_parts::Folder,
}

/// What a server is started with.
pub(super) struct Parts {
    pub(super) config: Config,
    pub(super) budget: Budget,
    pub(super) listeners: Listeners,
}

impl TestServer {
    /// With odd routes, and the settings that a test changes.
    pub(super) fn new(adjust: impl FnOnce(&mut Config)) -> Self {
        Self::open(std::net::TcpListener::bind("127.0.0.1:0").unwrap(), adjust, serve_odd)
    }

    /// The same, with a key that may read.
    pub(super) fn keyed(adjust: impl FnOnce(&mut Config)) -> Self {
        let token = Token::random().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut server = Self::open(listener, adjust, |parts| serve_odd_with(parts, Some(&token)));
        server.key = Some(token.reveal().to_owned());
        server
    }

    /// With odd routes and the defaults, on a listener that others may share.
    pub(super) fn on(listener: std::net::TcpListener) -> Self {
        Self::open(listener, |_| {}, serve_odd)
    }

    /// With what `start` serves; it is called within the runtime.
    pub(super) fn open(
        listener: std::net::TcpListener,
        adjust: impl FnOnce(&mut Config),
        start: impl FnOnce(Parts) -> Server,
    ) -> Self {
        let folder = evonic_parts::Folder::new().unwrap();
        let mut config = Config::defaults(folder.path().into(), folder.path().into());
        config.http.linger = Duration::from_millis(300);
        adjust(&mut config);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let budget = Budget::new(&config.budget, Page::private().unwrap(), config.fd.threshold);
        let address = listener.local_addr().unwrap();
        let socket = folder.path().join("api.sock");
        let (probe, inherited) = UnixStream::pair().unwrap();
        let listeners = Listeners {
            http: listener,
            api: UnixListener::bind(&socket).unwrap(),
            probe: Some(inherited),
        };
        let parts = Parts { config, budget: budget.clone(), listeners };
        let server = {
            let _within = runtime.enter();
            start(parts)
        };
        Self {
            runtime,
            server,
            address,
            budget,
            socket,
            probe,
            key: None,
            headers: String::new(),
            _folder: folder,
        }
    }

    /// With the defaults.
    pub(super) fn plain() -> Self {
        Self::new(|_| {})
    }

    pub(super) fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// A request's head for this server.
    pub(super) fn head(&self, method: &str, path: &str) -> String {
        let key = self.key.as_ref().map(|key| format!("authorization: Bearer {key}\r\n"));
        let (host, key, more) = (self.address, key.unwrap_or_default(), &self.headers);
        format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n{key}{more}")
    }

    pub(super) fn get(&self, path: &str) -> String {
        format!("{}\r\n", self.head("GET", path))
    }

    /// How many connections do this.
    pub(super) fn doing(&self, activity: Activity) -> usize {
        let activities = self.server.state.places.activities();
        activities.into_iter().filter(|&found| found == activity).count()
    }

    /// Descriptors that the budget says connections own.
    pub(super) fn owned(&self) -> u32 {
        let usage = self.budget.usage();
        usage.iter().find(|usage| usage.kind == Kind::Http).unwrap().descriptors
    }

    pub(super) fn drain(&self, timeout: Duration) -> usize {
        self.runtime.block_on(self.server.drain(timeout))
    }
}

fn serve_odd(parts: Parts) -> Server {
    serve_odd_with(parts, None)
}

fn serve_odd_with(parts: Parts, key: Option<&Token>) -> Server {
    let path = parts.config.state_dir.join("evonic.db");
    let store = Store::open(&path, &parts.config.store, parts.budget.clone()).unwrap();
    if let Some(token) = key {
        let row = KeyRow {
            id: token.id().clone(),
            name: "reader".parse().unwrap(),
            hash: token.hash(),
            scope: Scope::Read,
            agents: None,
            expires_in: None,
        };
        let create = store.change(Origin::inside(), move |writer| writer.create_key(row));
        tokio::runtime::Handle::current().block_on(create).unwrap();
    }
    let settings = parts.config.http;
    let (shutdown, connections) = (Shutdown::default(), TaskTracker::new());
    let keyring = Keyring::new(store, connections.clone(), shutdown.cut.clone());
    let mut registry = Registry::default();
    let metrics = Metrics::new(&mut registry);
    let limits = Limits::new(&parts.config.limits, None, &mut registry);
    let draining = Arc::new(shutdown.draining.clone());
    let router = Router::new(odd::routes(), &draining, BodyLimits::new(&settings));
    let admission = Admission::new(keyring, limits, router);
    let guard = Guard::new(&settings, Proxies::new(&settings, None));
    let places = Places::new(parts.budget.limit(Kind::Http), &settings);
    let server = ServerState::new(settings, guard, places, admission, 7, metrics, shutdown);
    let secure = Secure::open(&server.settings.tls, &parts.budget).unwrap();
    Server::serve(server, secure, parts.budget, connections, parts.listeners).unwrap()
}

/// Polls until it holds, or fails with the last state.
pub(super) fn until<T: std::fmt::Debug>(mut state: impl FnMut() -> T, holds: impl Fn(&T) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let now = state();
        if holds(&now) {
            return;
        }
        assert!(Instant::now() < deadline, "does not hold within 10 s: {now:?}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}
