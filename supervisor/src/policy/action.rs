//! What the policy asks of the event loop.

use std::time::Duration;

use evonic_shared::{reason::Reason, status::Exit};

use super::Instant;

/// Executed in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Start a worker and propose this generation. Answered by `Spawned` or `SpawnFailed`.
    Spawn {
        /// The generation to propose.
        generation: u64,
        /// The worker alive beside it.
        predecessor: Option<u64>,
    },
    /// Count the worker's descriptors, read its fd page, poll the accept queues. Answered by
    /// `Counted` and `AcceptQueue`.
    Count { generation: u64 },
    /// Take the baseline census.
    CensusReady { generation: u64 },
    /// Take the census of a post-mortem and keep it as a file.
    PostMortem {
        generation: u64,
        reason: Reason,
        /// The finding in a sentence.
        detail: String,
    },
    /// Send `drain` on the control channel and SIGTERM through the pidfd. Once more with a shorter
    /// grace when the stop is to hurry.
    Drain {
        generation: u64,
        reason: Reason,
        /// Until SIGKILL.
        grace: Duration,
    },
    /// Send SIGKILL through the pidfd and to the process group.
    Kill { generation: u64 },
    /// Send to `to` on its control channel that `gone` is dead and reaped.
    PredecessorGone { to: u64, gone: u64 },
    /// Answer those who wait for this generation, or for an earlier one: it serves; or it failed, and
    /// either the worker from before serves on or the next one would fail in the same way.
    Answer {
        generation: u64,
        /// Why it does not serve.
        outcome: Result<(), String>,
    },
    /// Keep a replacement in the history and its counters. `Reason::Stop` is logged only.
    Record(Record),
    /// The status changed: notify watchers and systemd.
    Changed,
    /// Every worker is reaped: end the supervisor.
    Exit,
}

/// A finished replacement: the policy's part of a history entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub generation: u64,
    /// Its pid; 0 when it was never started.
    pub pid: u32,
    pub reason: Reason,
    /// The finding in a sentence.
    pub detail: String,
    /// How it ended.
    pub exit: Exit,
    /// Open descriptors at the decision.
    pub fd_open: u32,
    /// From the decision to the death.
    pub took: Duration,
    /// From its start to its death.
    pub lived: Duration,
    pub decided_at: Instant,
}
