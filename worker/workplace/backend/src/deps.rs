//! Dependencies of backends, and the state that they report.

use std::sync::Arc;

use evonic_handles::Budget;
use evonic_shared::config::Config;
use evonic_store::Store;

/// The dependencies of backends.
#[derive(Clone, Debug)]
pub struct BackendDeps {
    /// `[workplace]`, `[tools]`, `[spool]`, `[ssh]`, `[docker]`, `state_dir`.
    pub config: Arc<Config>,
    pub budget: Budget,
    /// The database: workplaces and containers.
    pub store: Store,
    /// The name of this installation in labels and spools.
    pub instance: String,
}

/// How a worker ends, for containers that outlive it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A successor takes over.
    Recycled,
    /// The service stops.
    Stopped,
}

/// The state of a host or engine, for status and metrics.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct HostState {
    /// `user@host:port`, or the engine's address.
    pub host: String,
    /// Open connections.
    pub connections: u32,
    /// Failures in a row.
    pub failures: u32,
    /// Seconds until it is tried again, while it is left alone.
    pub left_alone_seconds: Option<u64>,
    /// The last error, while there are failures.
    pub last_error: Option<String>,
}
