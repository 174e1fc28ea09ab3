//! Actions that only time triggers.

use super::{Phase, Policy, Reason, decisions::Retry, messages};

impl Policy {
    /// Everything due at `now`, whichever event came.
    pub(super) fn handle_due(&mut self) {
        for at in 0..self.workers.len() {
            match self.workers[at].phase {
                Phase::Spawning | Phase::Killed => {}
                Phase::Starting => self.starting_due(at),
                Phase::Ready => self.ready_due(at),
                Phase::Draining { kill_at } if self.now >= kill_at => self.kill(at),
                Phase::Draining { .. } => {}
            }
        }
        self.poll_due();
    }

    fn starting_due(&mut self, at: usize) {
        let worker = &self.workers[at];
        if self.now >= worker.awaited_since + self.settings.supervisor.start_timeout {
            let missing = if worker.budget.is_some() { "not ready" } else { "no hello" };
            let detail = format!(
                "{missing} within {}",
                messages::seconds(self.settings.supervisor.start_timeout)
            );
            self.fail_start(at, Reason::Crash, detail, Retry::MayHelp);
            self.kill(at);
        } else if self.now >= worker.counts.due {
            self.count(at, false);
        }
    }

    fn ready_due(&mut self, at: usize) {
        let worker = &self.workers[at];
        if let Some(detail) =
            worker.health.finding(self.now, self.settings.supervisor.heartbeat_timeout)
        {
            self.find(at, Reason::Unhealthy, detail);
        }
        let worker = &self.workers[at];
        if worker.drain_at(&self.settings).is_some_and(|drain_at| self.now >= drain_at) {
            self.drain(at);
        }
        let worker = &self.workers[at];
        if worker.phase == Phase::Ready && self.now >= worker.counts.due {
            self.count(at, false);
        }
    }

    /// Polls a queue that is not empty: each count comes with a poll.
    fn poll_due(&mut self) {
        let Some(at) = self.acceptor() else { return self.accept.clear() };
        if self.accept.poll_at().is_some_and(|poll_at| self.now >= poll_at) {
            self.accept.requested(self.now, self.settings.supervisor.accept_stall);
            self.count(at, false);
        }
    }
}
