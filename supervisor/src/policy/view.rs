//! What the policy shows in the status.

use evonic_shared::{
    reason::Reason,
    status::{State, WorkerState},
};

use super::{Instant, Phase, Policy, Worker};

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
    pub fn workers(&self) -> (Option<&Worker>, Option<&Worker>) {
        match self.workers.as_slice() {
            [] => (None, None),
            [only] if only.is_ending() => (None, Some(only)),
            [only] => (Some(only), None),
            [older, newer, ..] if newer.is_ending() && !older.is_ending() => {
                (Some(older), Some(newer))
            }
            [older, newer, ..] => (Some(newer), Some(older)),
        }
    }

    pub fn worker(&self, generation: u64) -> Option<&Worker> {
        self.workers.iter().find(|worker| worker.generation == generation)
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
