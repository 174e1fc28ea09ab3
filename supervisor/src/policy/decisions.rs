//! Decisions about a worker, and their execution.

use std::time::Duration;

use super::{
    Action, Instant, MAX_WORKERS, Phase, Policy, Reason, SHORT_GRACE, Worker,
    worker::{Decision, urgency},
};

/// Whether a start that failed may succeed when it is tried again, with nothing mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    MayHelp,
    IsVain,
}

const fn is_leak(reason: Reason) -> bool {
    matches!(reason, Reason::FdUnexplained | Reason::FdThreshold | Reason::FdCeiling)
}

impl Policy {
    /// Decides on a finding, if the worker starts or no decision as urgent is made.
    pub(super) fn find(&mut self, at: usize, reason: Reason, detail: String) {
        let starting = self.workers[at].phase == Phase::Starting;
        if !starting && !self.workers[at].is_open_to(reason) {
            return;
        }
        let generation = self.workers[at].generation;
        let examined = self.workers[at].decision.as_ref().is_some_and(|d| urgency(d.reason) > 0);
        if !examined {
            self.actions.push(Action::PostMortem { generation, reason, detail: detail.clone() });
        }
        if starting {
            self.fail_start(at, reason, detail, Retry::MayHelp);
        } else {
            let start_at = self.delay_after_leak(at, reason);
            self.workers[at].decide(reason, detail, self.now);
            if let Some(decision) = &mut self.workers[at].decision {
                decision.start_at = start_at;
            }
        }
        if starting || matches!(reason, Reason::FdCeiling | Reason::Unhealthy) {
            self.drain(at);
        }
    }

    /// When the replacement may start. A worker that leaks before it is stable counts as an early
    /// leak, and each consecutive one waits longer. The leaking worker serves meanwhile.
    fn delay_after_leak(&mut self, at: usize, reason: Reason) -> Instant {
        let worker = &self.workers[at];
        let counted = worker.decision.as_ref().is_some_and(|decision| is_leak(decision.reason));
        if is_leak(reason) && !counted && !worker.stable {
            self.leaks.failed(self.now, &self.settings);
        }
        self.leaks.next_start.unwrap_or(self.now).max(self.now)
    }

    /// Decides that a worker ended by itself.
    pub(super) fn crash(&mut self, at: usize, detail: String, retry: Retry) {
        if self.workers[at].is_starting() {
            self.fail_start(at, Reason::Crash, detail, retry);
        } else {
            self.crashes.failed(self.now, &self.settings);
            self.last_error = Some(detail.clone());
            self.workers[at].decide(Reason::Crash, detail, self.now);
        }
    }

    /// A start failed. If it answers a request, the worker that serves keeps serving, and the request
    /// has its answer; unless a reload came meanwhile, whose settings this start did not have.
    pub(super) fn fail_start(&mut self, at: usize, reason: Reason, detail: String, retry: Retry) {
        self.crashes.failed(self.now, &self.settings);
        self.last_error = Some(detail.clone());
        self.workers[at].decide(reason, detail.clone(), self.now);
        let generation = self.workers[at].generation;
        let is_stale = self.workers[at].stale.is_some();
        for worker in self.workers.iter_mut().filter(|_| !is_stale) {
            let requested = worker.decision.as_ref().is_some_and(|d| d.reason == Reason::Requested);
            if worker.phase == Phase::Ready && requested {
                worker.decision = None;
            }
        }
        // Otherwise the next start follows by itself.
        let is_last = retry == Retry::IsVain || self.workers.iter().any(Worker::is_incumbent);
        if is_last && !is_stale {
            self.actions.push(Action::Answer { generation, outcome: Err(detail) });
        }
    }

    /// What a worker that is told to drain now has until SIGKILL.
    pub(super) fn grace(&self) -> Duration {
        let grace = self.settings.supervisor.grace;
        if self.shortened { grace.min(SHORT_GRACE) } else { grace }
    }

    pub(super) fn drain(&mut self, at: usize) {
        let grace = self.grace();
        let worker = &mut self.workers[at];
        let Some(Decision { reason, .. }) = worker.decision else { return };
        worker.phase = Phase::Draining { kill_at: self.now + grace };
        self.actions.push(Action::Drain { generation: worker.generation, reason, grace });
    }

    pub(super) fn kill(&mut self, at: usize) {
        self.workers[at].phase = Phase::Killed;
        self.actions.push(Action::Kill { generation: self.workers[at].generation });
    }

    pub(super) fn count(&mut self, at: usize, rides: bool) {
        let worker = &mut self.workers[at];
        worker.counts.requested(self.now, rides, &self.settings);
        self.actions.push(Action::Count { generation: worker.generation });
    }

    pub(super) fn position(&self, generation: u64) -> Option<usize> {
        self.workers.iter().position(|worker| worker.generation == generation)
    }

    pub(super) fn find_in(&self, generation: u64, phase: Phase) -> Option<usize> {
        self.position(generation).filter(|at| self.workers[*at].phase == phase)
    }

    /// A worker that runs and is not killed.
    pub(super) fn alive(&self, generation: u64) -> Option<usize> {
        self.position(generation)
            .filter(|at| !matches!(self.workers[*at].phase, Phase::Spawning | Phase::Killed))
    }

    /// The only worker that accepts connections; [`None`] while another one starts.
    pub(super) fn acceptor(&self) -> Option<usize> {
        debug_assert!(self.workers.len() <= MAX_WORKERS);
        if self.workers.iter().any(Worker::is_starting) {
            return None;
        }
        self.workers.iter().position(|worker| worker.phase == Phase::Ready)
    }
}
