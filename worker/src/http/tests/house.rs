//! A server on a free port with a few routes that do what real ones cannot be made to.

use std::{
    net::SocketAddr,
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use evonic_shared::{
    config::{self, Config},
    kind::Kind,
};
use futures_util::stream;
use http::StatusCode;
use serde::Deserialize;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use warp::{Filter, reply::Reply};

use super::client::Client;
use crate::{
    handles::{Budget, Page},
    http::{
        Listeners, Server,
        call::{Call, call, json, respond},
        front::{Front, Routes},
        guard::Guard,
        metrics::Metrics,
        problem::Problem,
    },
};

/// A running server and what is needed to look into it.
pub(super) struct House {
    pub(super) runtime: Runtime,
    pub(super) server: Server,
    pub(super) address: SocketAddr,
    pub(super) budget: Budget,
    pub(super) socket: PathBuf,
    pub(super) probe: UnixStream,
    _folder: tempfile::TempDir,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Echo {
    content: String,
}

impl House {
    /// With the settings that a test changes.
    pub(super) fn new(adjust: impl FnOnce(&mut Config)) -> Self {
        Self::open(std::net::TcpListener::bind("127.0.0.1:0").unwrap(), adjust)
    }

    /// With the defaults, on a listener that others may share.
    pub(super) fn on(listener: std::net::TcpListener) -> Self {
        Self::open(listener, |_| {})
    }

    fn open(listener: std::net::TcpListener, adjust: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
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
        let draining = CancellationToken::new();
        let routes = routes(&config.http, &draining);
        let guard = Guard::new(&config.http.allowed_hosts);
        let metrics = Arc::new(Metrics::new());
        let front = Front::new(config.http, guard, 7, metrics, draining, routes);
        let server = {
            let _within = runtime.enter();
            Server::serve(front, budget.clone(), listeners).unwrap()
        };
        Self { runtime, server, address, budget, socket, probe, _folder: folder }
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
        format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.address)
    }

    pub(super) fn get(&self, path: &str) -> String {
        format!("{}\r\n", self.head("GET", path))
    }

    /// Descriptors that the ledger says connections own.
    pub(super) fn owned(&self) -> u32 {
        let usage = self.budget.usage();
        usage.iter().find(|usage| usage.kind == Kind::Http).unwrap().descriptors
    }

    pub(super) fn drain(&self, patience: Duration) -> usize {
        self.runtime.block_on(self.server.drain(patience))
    }
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
        std::thread::yield_now();
    }
}

fn routes(settings: &config::Http, draining: &CancellationToken) -> Routes {
    let settings = settings.clone();
    let echo = warp::path!("echo").and(call()).then(move |call: Call| {
        let settings = settings.clone();
        async move {
            let echo = call.json::<Echo>(&settings).await;
            respond("/echo", echo.and_then(|echo| json(StatusCode::OK, &echo.content.len())))
        }
    });
    let big = warp::path!("big" / usize).map(|bytes| vec![b'x'; bytes].into_response());
    let panics = warp::path!("panic").then(|| async { panic!("as the test asked") });
    let late = warp::path!("late" / u64).then(|milliseconds| async move {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        "late".into_response()
    });
    let draining = draining.clone();
    let ticks = warp::path!("ticks").map(move || {
        let ticks = stream::unfold(Some(draining.clone()), |draining| async {
            let draining = draining?;
            let tick = tokio::time::sleep(Duration::from_millis(5));
            match draining.run_until_cancelled(tick).await {
                Some(()) => Some((Ok::<_, std::io::Error>("tick\n"), Some(draining))),
                None => Some((Ok("end\n"), None)),
            }
        });
        warp::reply::stream(Box::pin(ticks)).into_response()
    });
    let rest = warp::any().map(|| respond("", Err(Problem::not_found("nothing"))));
    echo.or(big)
        .unify()
        .or(panics)
        .unify()
        .or(late)
        .unify()
        .or(ticks)
        .unify()
        .or(rest)
        .unify()
        .boxed()
}
