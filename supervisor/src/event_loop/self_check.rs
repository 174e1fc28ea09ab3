//! The supervisor looks at itself: what others changed about it is told, and put back where it can be.

use std::time::SystemTime;

use evonic_shared::{
    exit::ExitCode,
    status::{Measure, Tampering, WorkerState},
    timestamp::rfc3339,
};

use super::{EventLoop, RunState};
use crate::integrity::{Deviation, Observed, Workers};

impl EventLoop {
    /// Checks, when it is time to. Ends the supervisor where only a clean one can go on.
    pub(super) fn check_integrity(&mut self) {
        let now = self.clock.now();
        if self.run_state != RunState::Running || !self.integrity.is_due(now) {
            return;
        }
        let remaining = self.mend();
        let found = std::mem::take(&mut self.deviations);
        let shown = self.policy.workers();
        let workers = Workers {
            is_serving: [shown.0, shown.1].into_iter().flatten().any(|worker| {
                // A starting one may yet come up.
                matches!(worker.state(), WorkerState::Ready | WorkerState::Starting)
            }),
            has_failed: self.policy.last_error().is_some(),
        };
        let decision = self.integrity.decide(found, &remaining, workers);
        for (Deviation { detail, .. }, measure) in decision.report {
            match measure {
                Measure::PutBack => tracing::warn!(detail, "tampering is put back"),
                Measure::Reported => tracing::error!(detail, "tampering cannot be put back"),
                Measure::Exit => {
                    tracing::error!(detail, "tampering cannot be put back: the supervisor ends");
                }
            }
            self.history.tampered(Tampering { at: rfc3339(SystemTime::now()), detail, measure });
            self.clients.status_changed();
        }
        if decision.exits {
            self.exit_code = ExitCode::Tampered;
            self.stop();
        }
    }

    /// Puts back what was changed, for the next check to tell. Returns what could not be.
    pub(super) fn mend(&mut self) -> Vec<Deviation> {
        let nofile = self.launch.nofile;
        let read = || match Observed::read(&self.folders) {
            Ok(observed) => self.integrity.deviations(&observed, nofile),
            Err(error) => {
                tracing::warn!(%error, "the supervisor cannot look at itself");
                Vec::new()
            }
        };
        let found = read();
        if found.is_empty() {
            return Vec::new();
        }
        for deviation in &found {
            if let Err(error) = self.integrity.began().put_back(deviation, &self.folders) {
                tracing::debug!(detail = deviation.detail, %error, "it is not put back");
            }
        }
        let remaining = read();
        self.deviations.retain(|old| found.iter().all(|new| new.subject != old.subject));
        self.deviations.extend(found);
        remaining
    }
}
