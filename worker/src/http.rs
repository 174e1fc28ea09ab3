//! HTTP: warp filters behind an accept loop of our own.
//!
//! Permit before accept; bounds on headers, bodies and pauses; problem details for every error;
//! drain that ends streams and idle connections and answers the rest with `Connection: close`.

mod accept;
mod health;
mod routes;

use std::{
    os::unix::net::{UnixListener, UnixStream},
    time::{Duration, Instant},
};

use evonic_shared::config;
use tokio_util::sync::CancellationToken;

use crate::{agent::Agents, handles::Budget, model::Models, store::Store};

/// What the routes serve from.
#[derive(Clone, Debug)]
pub struct App {
    /// The database.
    pub store: Store,
    /// The queue of turns.
    pub agents: Agents,
    /// The models, to check an agent's model by name.
    pub models: Models,
    /// The ledger.
    pub budget: Budget,
    /// The resolved configuration.
    pub config: std::sync::Arc<config::Config>,
    /// This worker's generation.
    pub generation: u64,
    /// When it started.
    pub started: Instant,
}

/// What the server accepts on.
#[derive(Debug)]
pub struct Listeners {
    /// TCP. No key is needed on loopback until keys come.
    pub http: std::net::TcpListener,
    /// Unix socket: root and the service's user, by peer credentials.
    pub api: UnixListener,
    /// The supervisor's connection: served like an accepted one, outside the `http` budget.
    pub probe: Option<UnixStream>,
}

/// The running server.
#[derive(Debug)]
pub struct Server {
    _private: (),
}

impl Server {
    /// Serves until drained. Takes over the listeners' descriptors; both stay shared with other
    /// workers.
    ///
    /// # Errors
    /// The operating system's word when a listener cannot be registered.
    pub fn start(app: App, listeners: Listeners) -> std::io::Result<Self> {
        let _ = (app, listeners);
        todo!()
    }

    /// `GET /livez` through a real connection and the real router, inside this process: the
    /// part's proof of life.
    ///
    /// # Errors
    /// A sentence that says what came instead of 200.
    pub async fn ping(&self) -> Result<(), String> {
        todo!()
    }

    /// Stops accepting, ends event streams with a retry hint, answers what comes on kept
    /// connections with `Connection: close`, closes idle ones after `http.linger`, and cuts what
    /// is left after `patience`. Returns how many were cut.
    pub async fn drain(&self, patience: Duration) -> usize {
        let _ = patience;
        todo!()
    }

    /// Fires when the listeners are closed and the last connection is gone.
    #[must_use]
    pub fn ended(&self) -> CancellationToken {
        todo!()
    }
}
