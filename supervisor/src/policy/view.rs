//! What the policy shows in the status.

use std::{collections::BTreeMap, time::Duration};

use evonic_shared::{
    control::Part,
    reason::Reason,
    status::{PartHealth, State, WorkerState},
};

use super::{Instant, Phase, Policy, Worker};

/// One worker in the status.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    pub generation: u64,
    pub pid: u32,
    pub state: WorkerState,
    pub started_at: Instant,
    pub heartbeat_at: Option<Instant>,
    pub health: BTreeMap<Part, PartHealth>,
    /// Open descriptors at the last count.
    pub open: u32,
    /// Owned descriptors at the last count.
    pub owned: u32,
    /// Open and not owned when it became ready.
    pub baseline: Option<u32>,
    /// Upper bound of the descriptors it owns, as its hello declared.
    pub budget: Option<u32>,
    /// Growth of the descriptors it does not own, a second; 0 when flat.
    pub per_second: f64,
    /// Time to the threshold at that growth.
    pub to_threshold: Option<Duration>,
}

/// What [`Action::Changed`](super::Action::Changed) compares: states, no counts.
pub(super) type Outline =
    (State, Vec<(u64, u32, WorkerState, Option<Reason>)>, Option<Instant>, bool);

impl Policy {
    pub fn state(&self) -> State {
        let incumbent = self.workers.iter().find(|worker| worker.is_incumbent());
        let serves = incumbent.is_some_and(|worker| worker.phase == Phase::Ready);
        if self.stopping {
            State::Stopping
        } else if !serves && self.crashes.is_loop(&self.settings) {
            State::CrashLoop
        } else if !self.has_served {
            State::Starting
        } else if self.leaks.is_loop(&self.settings) {
            State::LeakLoop
        } else if serves && self.workers.len() == 1 {
            State::Running
        } else {
            State::Recycling
        }
    }

    /// The worker that serves or serves next, and the one that ends. While a replacement starts,
    /// it is the first, and the worker that serves until then is the second.
    pub fn workers(&self, now: Instant) -> (Option<View>, Option<View>) {
        let view = |worker: &Worker| worker.view(now, &self.settings);
        match self.workers.as_slice() {
            [] => (None, None),
            [only] if only.is_ending() => (None, Some(view(only))),
            [only] => (Some(view(only)), None),
            [older, newer, ..] if newer.is_ending() && !older.is_ending() => {
                (Some(view(older)), Some(view(newer)))
            }
            [older, newer, ..] => (Some(view(newer)), Some(view(older))),
        }
    }

    pub(super) fn outline(&self) -> Outline {
        let worker = |worker: &Worker| {
            let reason = worker.decision.as_ref().map(|decision| decision.reason);
            (worker.generation, worker.pid, worker.state(), reason)
        };
        let workers = self.workers.iter().map(worker).collect();
        (self.state(), workers, self.next_start(), self.last_error.is_some())
    }
}
