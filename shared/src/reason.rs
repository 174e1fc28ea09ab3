//! Why a worker was replaced.

use crate::named::named;

named! {
    /// The reason of a replacement, as named in status, history and logs.
    Reason {
        /// Open descriptors passed `fd.threshold`.
        FdThreshold = "fd_threshold",
        /// Open descriptors passed `fd.ceiling`.
        FdCeiling = "fd_ceiling",
        /// Unexplained descriptors stayed above `fd.unexplained`.
        FdUnexplained = "fd_unexplained",
        /// A part was late, the accept queue stalled, or the probe failed twice.
        Unhealthy = "unhealthy",
        /// The worker ended by itself: exit code, signal, or no hello within `start_timeout`.
        Crash = "crash",
        /// An operator asked: `restart`, or a reload that changed the worker's configuration.
        Requested = "requested",
        /// The supervisor itself stops.
        Stop = "stop",
    }
}
