//! The status, from the policy's view and what is read on demand.

use std::time::Duration;

use evonic_shared::{
    control::Part,
    status::{Descriptors, FORMAT, Health, Status, Worker as Shown},
};

use super::EventLoop;
use crate::{
    policy::{Instant, Worker},
    worker::WorkerHandles,
};

impl EventLoop {
    /// The current status. Counts descriptors and reads resident memory.
    pub(super) fn status(&self) -> Status {
        let now = self.clock.now();
        let (worker, predecessor) = self.policy.workers();
        Status {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            state: self.policy.state(),
            uptime_seconds: seconds(now),
            listeners: self.sockets.describe(),
            worker: worker.map(|worker| self.worker(worker, now)),
            predecessor: predecessor.map(|worker| self.worker(worker, now)),
            restarts: self.history.restarts,
            last_restart: self.history.last().cloned(),
            next_start_seconds: self.policy.next_start().map(|at| seconds(at.saturating_sub(now))),
            last_error: self.policy.last_error().map(str::to_owned),
            last_tampering: self.history.last_tampering().cloned(),
        }
    }

    fn worker(&self, worker: &Worker, now: Instant) -> Shown {
        let held = self.held(worker);
        let timeout = self.config.supervisor.heartbeat_timeout;
        let health = |part| worker.health.of(part, now, timeout);
        Shown {
            pid: worker.pid,
            generation: worker.generation,
            state: worker.state(),
            version: held.and_then(|held| Some(held.hello.as_ref()?.version.clone())),
            uptime_seconds: seconds(now.saturating_sub(worker.started_at)),
            rss_bytes: held.and_then(|held| resident_bytes(held.child.number())).unwrap_or(0),
            last_heartbeat_seconds: worker
                .health
                .heartbeat_at
                .map(|at| seconds(now.saturating_sub(at))),
            health: Health {
                http: health(Part::Http),
                store: health(Part::Store),
                agents: health(Part::Agents),
            },
            sandbox: held.and_then(|held| held.sandbox.clone()),
            database: held.and_then(|held| held.database.clone()),
            storage: held.and_then(|held| held.storage.clone()),
            fd: self.descriptors(worker, held),
        }
    }

    /// A worker's descriptors: counted now while it lives, else as counted last.
    pub(super) fn descriptors(&self, worker: &Worker, held: Option<&WorkerHandles>) -> Descriptors {
        let (open, owned) = counted(worker, held);
        let baseline = worker.baseline.map(|rest| u32::try_from(rest).unwrap_or(0));
        let leak = worker.leak(self.clock.now(), self.config.fd.threshold);
        Descriptors {
            open,
            owned: held.map(WorkerHandles::owned).unwrap_or_default(),
            baseline,
            budget: worker.budget,
            unexplained: baseline.map(|rest| open.saturating_sub(owned).saturating_sub(rest)),
            threshold: self.config.fd.threshold,
            ceiling: self.config.fd.ceiling,
            unexplained_limit: self.config.fd.unexplained,
            limit: u32::try_from(self.launch.nofile).unwrap_or(u32::MAX),
            per_second: to_thousandths(leak.map_or(0.0, |(per_second, _)| per_second)),
            seconds_to_threshold: leak.map(|(_, time)| seconds(time)),
        }
    }

    pub(super) fn held(&self, worker: &Worker) -> Option<&WorkerHandles> {
        self.workers.iter().find(|held| held.generation == worker.generation)
    }

    /// One line for `systemctl status`.
    pub(super) fn status_line(&self) -> String {
        let (worker, predecessor) = self.policy.workers();
        let mut line = self.policy.state().name().replace('_', " ");
        if let Some(worker) = worker {
            let (open, _) = counted(worker, self.held(worker));
            line.push_str(&format!(
                ": worker {}, generation {}, {open} of {} descriptors",
                worker.pid, worker.generation, self.config.fd.threshold
            ));
        }
        if let Some(worker) = predecessor {
            line.push_str(&format!("; generation {} is ending", worker.generation));
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

/// Open and owned descriptors: now while it lives, else as counted last.
fn counted(worker: &Worker, held: Option<&WorkerHandles>) -> (u32, u32) {
    held.and_then(WorkerHandles::count).unwrap_or((worker.open, worker.owned))
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
