//! Inputs of the policy.

use std::{collections::BTreeMap, time::Duration};

use evonic_shared::{control::Part, status::Exit};

use super::Settings;

#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A `Spawn` succeeded.
    Spawned { generation: u64, pid: u32 },
    /// A `Spawn` failed: nothing runs.
    SpawnFailed { generation: u64, error: String },
    /// The first message of a worker. Its generation may differ from the proposed one.
    Hello {
        proposed: u64,
        /// The generation it took.
        generation: u64,
        /// Upper bound of the descriptors it will own.
        budget: u32,
    },
    /// The worker serves.
    Ready { generation: u64 },
    /// A heartbeat of a worker.
    Heartbeat {
        generation: u64,
        /// Age of each part's last proof.
        age: BTreeMap<Part, Duration>,
    },
    /// The worker stopped accepting.
    Draining { generation: u64 },
    /// A worker's descriptors were counted and its fd page read, at this instant.
    Counted {
        generation: u64,
        /// Open, from `/proc`.
        open: u32,
        /// Owned, from the fd page.
        owned: u32,
    },
    /// A worker was handed a descriptor numbered past the threshold: count now.
    HighDescriptor { generation: u64 },
    /// The accept queues of the held listeners were polled.
    AcceptQueue {
        /// Connections that wait in all of them.
        waiting: u32,
    },
    /// The probe of a ready worker was answered with 200 in time, or was not.
    Probe { generation: u64, answered: bool },
    /// A worker said why it ends. Its exit follows.
    Failed { generation: u64, reason: String },
    /// A worker is dead and reaped.
    Exited { generation: u64, exit: Exit },
    /// An operator asked for a new worker.
    Restart {
        /// The operator.
        uid: u32,
    },
    /// The configuration was read again; the worker is replaced.
    Reload {
        settings: Settings,
        /// The operator.
        uid: u32,
    },
    /// SIGTERM, SIGINT or `drain`.
    Stop,
    /// A second SIGTERM or SIGINT: what is left of the stop's grace is cut short.
    ShortenStop,
    /// The supervisor was stopped for a while, and runs again.
    Resumed,
    /// A deadline passed.
    Timer,
}
