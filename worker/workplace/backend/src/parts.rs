//! What backends are made of, and what they say of themselves.

use std::sync::Arc;

use evonic_handles::Budget;
use evonic_shared::config::Config;
use evonic_store::Store;

/// What workplaces are made of.
#[derive(Clone, Debug)]
pub struct Parts {
    /// `[workplace]`, `[tools]`, `[spool]`, `[ssh]`, `[docker]`, `state_dir`.
    pub config: Arc<Config>,
    /// The worker's budget.
    pub budget: Budget,
    /// The database: workplaces and containers.
    pub store: Store,
    /// What this installation is called in labels and spools.
    pub instance: String,
}

/// How a worker ends, for what outlives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A successor goes on with what is there.
    Recycled,
    /// The service stops: what should not outlive it goes.
    Stopped,
}

/// The state of a host or engine, for status and metrics.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct HostState {
    /// `user@host:port`, or the engine's address.
    pub host: String,
    /// Connections that are open.
    pub connections: u32,
    /// Failures in a row.
    pub failures: u32,
    /// While it is left alone: seconds until it is tried again.
    pub left_alone_seconds: Option<u64>,
    /// The last error, while there are failures.
    pub last_error: Option<String>,
}
