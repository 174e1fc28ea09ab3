//! What the policy asks of the event loop.

use std::time::Duration;

use evonic_shared::{reason::Reason, status::Exit};

use super::Instant;

/// What to do, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Start a worker and propose this generation. Answered by `Spawned` or `SpawnFailed`.
    Spawn {
        /// The generation to propose.
        generation: u64,
        /// The worker that lives beside it.
        predecessor: Option<u64>,
    },
    /// Count this worker's descriptors, read its page, look at the accept queues. Answered by
    /// `Counted` and `AcceptQueue`.
    Count {
        /// Which.
        generation: u64,
    },
    /// Take the census that later ones are compared with.
    CensusReady {
        /// Which.
        generation: u64,
    },
    /// Take the census of a post-mortem and keep it as a file.
    PostMortem {
        /// Which.
        generation: u64,
        /// Why.
        reason: Reason,
        /// The finding in a sentence.
        detail: String,
    },
    /// Say drain on the control channel and send SIGTERM through the pidfd.
    Drain {
        /// Which.
        generation: u64,
        /// Why.
        reason: Reason,
    },
    /// Send SIGKILL through the pidfd and to the process group.
    Kill {
        /// Which.
        generation: u64,
    },
    /// Say on the control channel of `to` that `gone` is dead and reaped.
    PredecessorGone {
        /// Whom to tell.
        to: u64,
        /// Who is dead.
        gone: u64,
    },
    /// Keep a replacement in the history and its counters. `Reason::Stop` is logged only.
    Record(Record),
    /// Status changed: tell watchers and systemd.
    Changed,
    /// Every worker is dead: end the supervisor.
    Exit,
}

/// A finished replacement: the policy's part of a history entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Who went.
    pub generation: u64,
    /// Its pid; 0 when it was never started.
    pub pid: u32,
    /// Why.
    pub reason: Reason,
    /// The finding in a sentence.
    pub detail: String,
    /// How it ended.
    pub exit: Exit,
    /// Descriptors open at the decision.
    pub fd_open: u32,
    /// From the decision to the death.
    pub took: Duration,
    /// From its start to its death.
    pub lived: Duration,
    /// When it was decided.
    pub decided_at: Instant,
}
