//! Why a worker was replaced.

use serde::{Deserialize, Serialize};

/// The reason of a replacement, as named in status, history and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Open descriptors passed `fd.threshold`.
    FdThreshold,
    /// Open descriptors passed `fd.ceiling`.
    FdCeiling,
    /// Unexplained descriptors stayed above `fd.unexplained`.
    FdUnexplained,
    /// A part was late, the accept queue stalled, or the probe failed twice.
    Unhealthy,
    /// The worker ended by itself: exit code, signal, or no hello within `start_timeout`.
    Crash,
    /// An operator asked: `restart`, or a reload that changed the worker's configuration.
    Requested,
    /// The supervisor itself stops.
    Stop,
}

impl Reason {
    /// Every reason, in the order of the counters in status.
    pub const ALL: [Reason; 7] = [
        Reason::FdThreshold,
        Reason::FdCeiling,
        Reason::FdUnexplained,
        Reason::Unhealthy,
        Reason::Crash,
        Reason::Requested,
        Reason::Stop,
    ];

    /// The name on every wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Reason::FdThreshold => "fd_threshold",
            Reason::FdCeiling => "fd_ceiling",
            Reason::FdUnexplained => "fd_unexplained",
            Reason::Unhealthy => "unhealthy",
            Reason::Crash => "crash",
            Reason::Requested => "requested",
            Reason::Stop => "stop",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
