//! The status, from the policy's view and what is read on demand.

use std::time::Duration;

use evonic_shared::{
    config::Fd,
    control::Part,
    status::{Descriptors, FORMAT, Health, PartHealth, Status, Worker as Shown},
};

use crate::{
    history::History,
    policy::{Instant, Policy, View},
    sockets::Sockets,
    worker::WorkerHandles,
};

/// Inputs of a status.
#[derive(Debug)]
pub struct StatusInputs<'a> {
    pub policy: &'a Policy,
    pub workers: &'a [WorkerHandles],
    pub sockets: &'a Sockets,
    pub history: &'a History,
    /// Limits of a worker's descriptors.
    pub limits: &'a Fd,
    /// A worker's soft `RLIMIT_NOFILE`.
    pub nofile: u64,
    pub now: Instant,
}

impl StatusInputs<'_> {
    /// The current status. Counts descriptors and reads resident memory.
    #[must_use]
    pub fn status(&self) -> Status {
        let (worker, predecessor) = self.policy.workers(self.now);
        Status {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            state: self.policy.state(),
            uptime_seconds: seconds(self.now),
            listeners: self.sockets.describe(),
            worker: worker.map(|view| self.worker(&view)),
            predecessor: predecessor.map(|view| self.worker(&view)),
            restarts: self.history.restarts(),
            last_restart: self.history.last().cloned(),
            next_start_seconds: self
                .policy
                .next_start()
                .map(|at| seconds(at.saturating_sub(self.now))),
            last_error: self.policy.last_error().map(str::to_owned),
        }
    }

    fn worker(&self, view: &View) -> Shown {
        let held = self.workers.iter().find(|worker| worker.generation == view.generation);
        let health = |part| view.health.get(&part).copied().unwrap_or(PartHealth::Unknown);
        Shown {
            pid: view.pid,
            generation: view.generation,
            state: view.state,
            version: held.and_then(|held| Some(held.introduction.as_ref()?.version.clone())),
            uptime_seconds: seconds(self.now.saturating_sub(view.started_at)),
            rss_bytes: held.and_then(|held| resident_bytes(held.child.number())).unwrap_or(0),
            last_heartbeat_seconds: view
                .heartbeat_at
                .map(|at| seconds(self.now.saturating_sub(at))),
            health: Health {
                http: health(Part::Http),
                store: health(Part::Store),
                agents: health(Part::Agents),
            },
            fd: self.descriptors(view, held),
        }
    }

    /// A worker's descriptors: counted now while it lives, else as counted last.
    #[must_use]
    pub fn descriptors(&self, view: &View, held: Option<&WorkerHandles>) -> Descriptors {
        let (open, owned) = held.and_then(WorkerHandles::count).unwrap_or((view.open, view.owned));
        Descriptors {
            open,
            owned: held.map(WorkerHandles::owned).unwrap_or_default(),
            baseline: view.baseline,
            budget: view.budget,
            unexplained: view
                .baseline
                .map(|baseline| open.saturating_sub(owned).saturating_sub(baseline)),
            threshold: self.limits.threshold,
            ceiling: self.limits.ceiling,
            unexplained_limit: self.limits.unexplained,
            limit: u32::try_from(self.nofile).unwrap_or(u32::MAX),
            per_second: to_thousandths(view.per_second),
            seconds_to_threshold: view.to_threshold.map(seconds),
        }
    }

    /// One line for `systemctl status`.
    #[must_use]
    pub fn line(&self) -> String {
        let (worker, predecessor) = self.policy.workers(self.now);
        let mut line = state_name(self.policy).to_owned();
        if let Some(view) = worker {
            let held = self.workers.iter().find(|worker| worker.generation == view.generation);
            let (open, _) = held.and_then(WorkerHandles::count).unwrap_or((view.open, view.owned));
            line.push_str(&format!(
                ": worker {}, generation {}, {open} of {} descriptors",
                view.pid, view.generation, self.limits.threshold
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

fn state_name(policy: &Policy) -> &'static str {
    use evonic_shared::status::State;
    match policy.state() {
        State::Starting => "starting",
        State::Running => "running",
        State::Recycling => "recycling",
        State::CrashLoop => "crash loop",
        State::LeakLoop => "leak loop",
        State::Stopping => "stopping",
    }
}

/// Seconds, to the millisecond.
#[must_use]
pub fn seconds(time: Duration) -> f64 {
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

/// A status without a worker.
#[cfg(test)]
pub(crate) fn example() -> Status {
    use evonic_shared::status::{Restarts, State};
    Status {
        format: FORMAT,
        version: "0.0.0".into(),
        pid: 1,
        state: State::Starting,
        uptime_seconds: 1.5,
        listeners: vec![],
        worker: None,
        predecessor: None,
        restarts: Restarts::default(),
        last_restart: None,
        next_start_seconds: None,
        last_error: Some("nothing yet".into()),
    }
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
