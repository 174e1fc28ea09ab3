//! What the event loop tells the policy.

use std::{collections::BTreeMap, time::Duration};

use evonic_shared::{control::Part, status::Exit};

use super::Settings;

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
    Restart {
        /// The operator's user.
        uid: u32,
    },
    /// The configuration was read again; the worker is replaced.
    Reload {
        /// These hold from now on.
        settings: Settings,
        /// The user who asked for it.
        uid: u32,
    },
    /// SIGTERM, SIGINT or `drain`.
    Stop,
    /// A deadline passed.
    Timer,
}
