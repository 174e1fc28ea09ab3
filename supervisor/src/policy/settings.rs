//! What the configuration tells the policy.

use std::time::Duration;

#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `fd.threshold`.
    pub threshold: u32,
    /// `fd.ceiling`.
    pub ceiling: u32,
    /// `fd.unexplained`.
    pub unexplained: u32,
    /// `fd.min_interval`.
    pub min_interval: Duration,
    /// `fd.max_interval`.
    pub max_interval: Duration,
    /// `supervisor.grace`.
    pub grace: Duration,
    /// `supervisor.start_timeout`.
    pub start_timeout: Duration,
    /// `supervisor.heartbeat_timeout`.
    pub heartbeat_timeout: Duration,
    /// `supervisor.accept_stall`.
    pub accept_stall: Duration,
    /// `supervisor.backoff_base`.
    pub backoff_base: Duration,
    /// `supervisor.backoff_cap`.
    pub backoff_cap: Duration,
    /// `supervisor.stable_after`.
    pub stable_after: Duration,
    /// `supervisor.crash_loop_after`.
    pub crash_loop_after: u32,
}
