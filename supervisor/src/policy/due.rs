//! Actions that only time triggers.

use super::{Action, Instant, Phase, Policy, Reason, messages, worker::Finding};

impl Policy {
    /// Everything due at `now`, whichever event came.
    pub(super) fn handle_due(&mut self, now: Instant, actions: &mut Vec<Action>) {
        for at in 0..self.workers.len() {
            match self.workers[at].phase {
                Phase::Spawning | Phase::Killed => {}
                Phase::Starting => self.starting_due(at, now, actions),
                Phase::Ready => self.ready_due(at, now, actions),
                Phase::Draining { kill_at } if now >= kill_at => self.kill(at, actions),
                Phase::Draining { .. } => {}
            }
        }
        self.poll_due(now, actions);
    }

    fn starting_due(&mut self, at: usize, now: Instant, actions: &mut Vec<Action>) {
        let worker = &self.workers[at];
        if now >= worker.started_at + self.settings.supervisor.start_timeout {
            let missing = if worker.budget.is_some() { "not ready" } else { "no hello" };
            let detail = format!(
                "{missing} within {}",
                messages::seconds(self.settings.supervisor.start_timeout)
            );
            self.fail_start(at, Reason::Crash, detail, now);
            self.kill(at, actions);
        } else if now >= worker.counts.due() {
            self.count(at, false, now, actions);
        }
    }

    fn ready_due(&mut self, at: usize, now: Instant, actions: &mut Vec<Action>) {
        let worker = &self.workers[at];
        if let Some(detail) = worker.health.finding(now, self.settings.supervisor.heartbeat_timeout)
        {
            self.find(at, Finding { reason: Reason::Unhealthy, detail }, now, actions);
        }
        let worker = &self.workers[at];
        if worker.drain_at(&self.settings).is_some_and(|drain_at| now >= drain_at) {
            self.drain(at, now, actions);
        }
        let worker = &self.workers[at];
        if worker.phase == Phase::Ready && now >= worker.counts.due() {
            self.count(at, false, now, actions);
        }
    }

    /// Polls a queue that is not empty: each count comes with a poll.
    fn poll_due(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let Some(at) = self.acceptor() else { return self.accept.clear() };
        if self.accept.poll_at().is_some_and(|poll_at| now >= poll_at) {
            self.accept.requested(now, self.settings.supervisor.accept_stall);
            self.count(at, false, now, actions);
        }
    }
}
