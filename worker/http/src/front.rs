//! What stands between every connection and the routes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use evonic_shared::config;
use tokio_util::sync::CancellationToken;
use warp::{filters::BoxedFilter, reply::Response};

use crate::{admission::Admission, guard::Guard, metrics::Metrics};

/// The routes, as one filter that never rejects.
pub(super) type Routes = BoxedFilter<(Response,)>;

/// The two steps in which a server ends.
#[derive(Clone, Debug, Default)]
pub(super) struct Ends {
    /// Fires when the worker drains: accept no more, end streams, say `Connection: close`.
    pub(super) draining: CancellationToken,
    /// Fires when patience is over: drop what is left.
    pub(super) cut: CancellationToken,
}

/// Shared by every connection of a server.
pub(super) struct Front {
    /// `[http]`.
    pub(super) settings: config::Http,
    /// What is served.
    pub(super) routes: Routes,
    /// From where one may speak.
    pub(super) guard: Guard,
    /// Who may have it.
    pub(super) admission: Admission,
    /// What is counted.
    pub(super) metrics: Arc<Metrics>,
    /// When it stops.
    pub(super) ends: Ends,
    /// This worker's generation: the first half of a request's id.
    generation: u64,
    requests: AtomicU64,
    cuts: AtomicUsize,
}

impl Front {
    /// A front before these routes.
    pub(super) fn new(
        settings: config::Http,
        guard: Guard,
        admission: Admission,
        generation: u64,
        metrics: Arc<Metrics>,
        ends: Ends,
        routes: Routes,
    ) -> Self {
        Self {
            settings,
            routes,
            guard,
            admission,
            metrics,
            ends,
            generation,
            requests: AtomicU64::new(0),
            cuts: AtomicUsize::new(0),
        }
    }

    /// An identifier for a request that brought none: `GENERATION-COUNT`.
    pub(super) fn request_id(&self) -> String {
        format!("{}-{}", self.generation, self.requests.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Counts a connection that was cut while something was under way.
    pub(super) fn count_cut(&self) {
        self.cuts.fetch_add(1, Ordering::Relaxed);
    }

    /// How many were.
    pub(super) fn cuts(&self) -> usize {
        self.cuts.load(Ordering::Relaxed)
    }

    /// How long a client that was refused for want of a place should wait.
    pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);
}
