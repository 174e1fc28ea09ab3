//! The two steps in which a server ends.

use tokio_util::sync::CancellationToken;

/// Shared by everything that runs for a server.
#[derive(Clone, Debug, Default)]
pub(super) struct Shutdown {
    /// Fires when the worker drains: accept no more, end streams, say `Connection: close`.
    pub(super) draining: CancellationToken,
    /// Fires when the time to drain is over: drop what is left.
    pub(super) cut: CancellationToken,
}
