//! What to do: a pure function of state, event and time.
//!
//! `Policy::step(event, now) -> actions` knows no clock, no descriptor and no process. The event
//! loop turns the world into [`Event`]s, executes [`Action`]s in order, and sleeps until
//! [`Policy::deadline`].
//!
//! At most two workers live at once: the *current* one (starting or ready) and its *predecessor*
//! (draining or killed), or a ready current one and a starting *replacement*.
//!
//! ```text
//!                 spawn                ready
//!   (no worker) --------> starting ------------> running <-------------------------+
//!        ^                   | died, no hello       | fd_threshold, fd_unexplained, |
//!        | backoff           | or start_timeout     | requested                     |
//!        |                   v                      v                               |
//!        +-------------- crash (kill, reap)    recycling: replacement starts beside it
//!        |                                          | replacement ready, or start_timeout
//!        |                                          v
//!        |                     drain + SIGTERM to the old; after grace SIGKILL ----+
//!        |                                          ^
//!        +-- died while running: crash              | fd_ceiling, unhealthy: SIGTERM to the old
//!            spawn at once, then with backoff       | at once, replacement starts at once
//!   any --stop--> drain all; after grace SIGKILL; no worker left: Exit
//! ```
//!
//! | Event | starting | ready | draining | killed |
//! |---|---|---|---|---|
//! | `Ready` | becomes current; a predecessor is drained; census, baseline | ignored | ignored | ignored |
//! | count past threshold | ignored until ready | census, spawn replacement | past ceiling: nothing more | - |
//! | count past ceiling | census, drain (it is a crash of the start) | census, spawn replacement, drain now | - | - |
//! | no hello or ready within `start_timeout` | kill; crash | - | - | - |
//! | part late, accept queue stalled, probe failed twice | - | census, spawn replacement, drain now | - | - |
//! | `Exited` | crash; backoff; spawn | crash; spawn | record; tell successor | record; tell successor |
//! | grace over | - | - | kill | - |
//! | `Stop` | drain | drain | goes on | goes on |

use std::{collections::BTreeMap, time::Duration};

use evonic_shared::{
    control::Part,
    reason::Reason,
    status::{Exit, PartHealth, State, WorkerState},
};

/// Time since the supervisor's start: the event loop's monotonic clock, the tests' virtual one.
pub type Instant = Duration;

/// Settings of the policy, from the configuration.
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

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A `Spawn` succeeded.
    Spawned {
        /// The generation that the action named.
        generation: u64,
        /// Its pid.
        pid: u32,
    },
    /// A `Spawn` failed: nothing runs.
    SpawnFailed {
        /// The generation that the action named.
        generation: u64,
        /// The operating system's word.
        error: String,
    },
    /// First message of a worker. Its generation may differ from the proposed one.
    Hello {
        /// The proposed generation.
        proposed: u64,
        /// The generation it took.
        generation: u64,
        /// The most descriptors it will own.
        budget: u32,
    },
    /// It serves.
    Ready {
        /// Which.
        generation: u64,
    },
    /// It proved its parts.
    Heartbeat {
        /// Which.
        generation: u64,
        /// Age of each part's last proof.
        age: BTreeMap<Part, Duration>,
    },
    /// It stopped accepting.
    Draining {
        /// Which.
        generation: u64,
    },
    /// Its descriptors were counted, and its ledger page read, at this instant.
    Counted {
        /// Which.
        generation: u64,
        /// Open, from `/proc`.
        open: u32,
        /// Owned, from the page.
        owned: u32,
    },
    /// One of its gates was handed a descriptor numbered past the threshold: count now.
    HighDescriptor {
        /// Which.
        generation: u64,
    },
    /// The accept queues of the held listeners, all together.
    AcceptQueue {
        /// Connections that wait.
        waiting: u32,
    },
    /// The probe of a ready worker answered 200 in time, or did not.
    Probe {
        /// Which.
        generation: u64,
        /// Whether it was answered with 200.
        answered: bool,
    },
    /// A worker is dead and reaped.
    Exited {
        /// Which.
        generation: u64,
        /// How.
        exit: Exit,
    },
    /// An operator asked for a new worker.
    Restart,
    /// The configuration was read again: these hold from now on; the worker is replaced.
    Reload(Settings),
    /// SIGTERM, SIGINT or `drain`.
    Stop,
    /// A deadline passed.
    Timer,
}

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
    /// Count this worker's descriptors and read its page. Answered by `Counted`.
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

/// What status shows of one worker.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Its generation.
    pub generation: u64,
    /// Its pid.
    pub pid: u32,
    /// What it is doing.
    pub state: WorkerState,
    /// When it was started.
    pub started_at: Instant,
    /// When its last heartbeat came.
    pub heartbeat_at: Option<Instant>,
    /// Health by part, at `now`.
    pub health: BTreeMap<Part, PartHealth>,
    /// Open descriptors at the last count.
    pub open: u32,
    /// Owned ones at the last count.
    pub owned: u32,
    /// Open and not owned when it became ready.
    pub baseline: Option<u32>,
    /// Its declared budget.
    pub budget: Option<u32>,
    /// Growth of what is not owned, descriptors a second; 0 when flat.
    pub per_second: f64,
    /// Until the threshold at that growth.
    pub to_threshold: Option<Duration>,
}

/// The supervisor's state machine.
#[derive(Debug)]
pub struct Policy {
    settings: Settings,
}

impl Policy {
    /// A policy without a worker, and what to do first. `next_generation` is above every one that
    /// ever was; `seed` is of the jitter.
    #[must_use]
    pub fn new(settings: Settings, next_generation: u64, seed: u64) -> (Self, Vec<Action>) {
        let _ = (next_generation, seed);
        (Self { settings }, todo!())
    }

    /// What this event asks for. `now` never goes back.
    #[must_use]
    pub fn step(&mut self, event: Event, now: Instant) -> Vec<Action> {
        let _ = (&self.settings, event, now);
        todo!()
    }

    /// When to send [`Event::Timer`] at the latest: the next count, grace, start timeout, late
    /// heartbeat, backoff. Each heartbeat moves it, so that an idle pair sleeps until the next
    /// heartbeat. [`None`] when nothing is awaited.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        todo!()
    }

    /// What the supervisor is doing.
    #[must_use]
    pub fn state(&self) -> State {
        todo!()
    }

    /// The worker that serves or is to serve next, and the one that is ending.
    #[must_use]
    pub fn workers(&self, now: Instant) -> (Option<View>, Option<View>) {
        let _ = now;
        todo!()
    }

    /// When the next start is due, while backing off.
    #[must_use]
    pub fn next_start(&self) -> Option<Instant> {
        todo!()
    }

    /// Why the last start failed.
    #[must_use]
    pub fn last_error(&self) -> Option<&str> {
        todo!()
    }
}
