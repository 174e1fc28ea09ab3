//! What stands between every connection and the routes.

use std::{
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};

use evonic_shared::config;

use crate::{
    admission::Admission, guard::Guard, metrics::Metrics, places::Places, shutdown::Shutdown,
};

/// Shared by every connection of a server.
pub(super) struct ServerState {
    /// `[http]` of the configuration.
    pub(super) settings: config::Http,
    pub(super) guard: Guard,
    /// For every connection that is accepted.
    pub(super) places: Places,
    /// Who may have what, and the routes.
    pub(super) admission: Admission,
    pub(super) metrics: Metrics,
    pub(super) shutdown: Shutdown,
    /// This worker's generation: the first half of a request's id.
    generation: u64,
    requests: AtomicU64,
    /// Connections that were cut while something was under way.
    pub(super) cuts: AtomicUsize,
}

impl ServerState {
    pub(super) fn new(
        settings: config::Http,
        guard: Guard,
        places: Places,
        admission: Admission,
        generation: u64,
        metrics: Metrics,
        shutdown: Shutdown,
    ) -> Self {
        Self {
            settings,
            guard,
            places,
            admission,
            metrics,
            shutdown,
            generation,
            requests: AtomicU64::new(0),
            cuts: AtomicUsize::new(0),
        }
    }

    /// An identifier for a request that brought none: `GENERATION-COUNT`.
    pub(super) fn request_id(&self) -> String {
        format!("{}-{}", self.generation, self.requests.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// When a client should try again that found every permit in use.
    pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);
}
