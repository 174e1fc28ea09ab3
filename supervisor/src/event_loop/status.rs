//! The status, from the policy's view and what is read on demand.

use std::time::Duration;

use evonic_shared::{
    control::Part,
    status::{Descriptors, FORMAT, Health, PartHealth, Status, Worker as Shown},
};

use super::EventLoop;
use crate::{
    policy::{Instant, View},
    worker::WorkerHandles,
};

impl EventLoop {
    /// The current status. Counts descriptors and reads resident memory.
    pub(super) fn status(&self) -> Status {
        let now = self.clock.now();
        let (worker, predecessor) = self.policy.workers(now);
        Status {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            state: self.policy.state(),
            uptime_seconds: seconds(now),
            listeners: self.sockets.describe(),
            worker: worker.map(|view| self.worker(&view, now)),
            predecessor: predecessor.map(|view| self.worker(&view, now)),
            restarts: self.history.restarts(),
            last_restart: self.history.last().cloned(),
            next_start_seconds: self.policy.next_start().map(|at| seconds(at.saturating_sub(now))),
            last_error: self.policy.last_error().map(str::to_owned),
        }
    }

    fn worker(&self, view: &View, now: Instant) -> Shown {
        let held = self.held(view);
        let health = |part| view.health.get(&part).copied().unwrap_or(PartHealth::Unknown);
        Shown {
            pid: view.pid,
            generation: view.generation,
            state: view.state,
            version: held.and_then(|held| Some(held.hello.as_ref()?.version.clone())),
            uptime_seconds: seconds(now.saturating_sub(view.started_at)),
            rss_bytes: held.and_then(|held| resident_bytes(held.child.number())).unwrap_or(0),
            last_heartbeat_seconds: view.heartbeat_at.map(|at| seconds(now.saturating_sub(at))),
            health: Health {
                http: health(Part::Http),
                store: health(Part::Store),
                agents: health(Part::Agents),
            },
            fd: self.descriptors(view, held),
        }
    }

    /// A worker's descriptors: counted now while it lives, else as counted last.
    pub(super) fn descriptors(&self, view: &View, held: Option<&WorkerHandles>) -> Descriptors {
        let (open, owned) = held.and_then(WorkerHandles::count).unwrap_or((view.open, view.owned));
        Descriptors {
            open,
            owned: held.map(WorkerHandles::owned).unwrap_or_default(),
            baseline: view.baseline,
            budget: view.budget,
            unexplained: view
                .baseline
                .map(|baseline| open.saturating_sub(owned).saturating_sub(baseline)),
            threshold: self.config.fd.threshold,
            ceiling: self.config.fd.ceiling,
            unexplained_limit: self.config.fd.unexplained,
            limit: u32::try_from(self.launch.nofile).unwrap_or(u32::MAX),
            per_second: to_thousandths(view.per_second),
            seconds_to_threshold: view.to_threshold.map(seconds),
        }
    }

    pub(super) fn held(&self, view: &View) -> Option<&WorkerHandles> {
        self.workers.iter().find(|worker| worker.generation == view.generation)
    }

    /// One line for `systemctl status`.
    pub(super) fn status_line(&self) -> String {
        let (worker, predecessor) = self.policy.workers(self.clock.now());
        let mut line = self.policy.state().name().replace('_', " ");
        if let Some(view) = worker {
            let held = self.held(&view);
            let (open, _) = held.and_then(WorkerHandles::count).unwrap_or((view.open, view.owned));
            line.push_str(&format!(
                ": worker {}, generation {}, {open} of {} descriptors",
                view.pid, view.generation, self.config.fd.threshold
            ));
        }
        if let Some(view) = predecessor {
            line.push_str(&format!("; generation {} is ending", view.generation));
        }
        if let Some(last) = self.history.last() {
            line.push_str(&format!(
                "; last replaced: generation {}, {}: {}, at {}",
                last.generation, last.reason, last.detail, last.at
            ));
        }
        if let Some(error) = self.policy.last_error() {
            line.push_str(&format!("; last error: {error}"));
        }
        // A second line would be another message.
        line.replace(char::is_control, " ")
    }
}

/// Seconds, to the millisecond.
pub(super) fn seconds(time: Duration) -> f64 {
    to_thousandths(time.as_secs_f64())
}

fn to_thousandths(figure: f64) -> f64 {
    (figure * 1000.0).round() / 1000.0
}

/// Resident memory: the second field of `/proc/PID/statm` (`proc_pid_statm(5)`), in pages. The
/// process must be an unreaped child.
fn resident_bytes(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    pages.checked_mul(rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_memory_is_there_and_plausible() {
        let bytes = resident_bytes(std::process::id()).unwrap();
        assert!((100_000..10_000_000_000).contains(&bytes), "{bytes}");
        assert_eq!(resident_bytes(u32::MAX), None);
    }

    #[test]
    fn seconds_have_millisecond_precision() {
        assert_eq!(seconds(Duration::from_micros(1_234_567)), 1.235);
        assert_eq!(serde_json::to_string(&seconds(Duration::from_millis(100))).unwrap(), "0.1");
    }
}
