//! What the policy shows of a worker.

use std::{collections::BTreeMap, time::Duration};

use evonic_shared::{
    control::Part,
    status::{PartHealth, WorkerState},
};

use super::Instant;

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
