//! One worker as the policy knows it.

use std::time::Duration;

use evonic_shared::{
    reason::Reason,
    status::{Exit, WorkerState},
};

use super::{Instant, Record, Settings, View, growth::Growth, health::Health, pace, pace::Pace};

/// A worker from the moment its start is asked for until it is reaped.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) generation: u64,
    pub(super) pid: u32,
    pub(super) phase: Phase,
    pub(super) started_at: Instant,
    /// From its hello.
    pub(super) budget: Option<u32>,
    pub(super) open: u32,
    pub(super) owned: u32,
    pub(super) baseline: Option<i64>,
    pub(super) growth: Growth,
    pub(super) pace: Pace,
    pub(super) health: Health,
    /// Why it goes, once that is decided.
    pub(super) decision: Option<Decision>,
    /// Since when more is unexplained than may be.
    pub(super) above_since: Option<Instant>,
    /// Who had its settings replaced while it started.
    pub(super) stale: Option<u32>,
    /// It was ready and lived long enough to end a row of crashes.
    pub(super) stable: bool,
    /// Who died before this worker could be told.
    pub(super) untold: Option<u64>,
}

/// What a worker is doing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Phase {
    /// Its start was asked for and not answered yet.
    Spawning,
    /// It runs and is not ready.
    Starting,
    /// It serves.
    Ready,
    /// It was told to stop.
    Draining { kill_at: Instant },
    /// SIGKILL was sent.
    Killed,
}

/// Why a worker goes.
#[derive(Clone, Debug)]
pub(super) struct Decision {
    pub(super) reason: Reason,
    pub(super) detail: String,
    pub(super) fd_open: u32,
    pub(super) at: Instant,
    /// When the replacement may start.
    pub(super) start_at: Instant,
}

/// A finding of a count.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) reason: Reason,
    pub(super) detail: String,
}

/// How urgent a reason is: a finding replaces a decision only when it is more urgent.
pub(super) fn urgency(reason: Reason) -> u8 {
    match reason {
        Reason::Requested => 0,
        Reason::FdUnexplained | Reason::FdThreshold => 1,
        Reason::FdCeiling | Reason::Unhealthy => 2,
        Reason::Crash | Reason::Stop => 3,
    }
}

impl Worker {
    /// A worker whose start is asked for now.
    pub(super) fn new(generation: u64, now: Instant, settings: &Settings) -> Self {
        Self {
            generation,
            pid: 0,
            phase: Phase::Spawning,
            started_at: now,
            budget: None,
            open: 0,
            owned: 0,
            baseline: None,
            growth: Growth::default(),
            pace: Pace::new(now, settings),
            health: Health::new(now),
            decision: None,
            above_since: None,
            stale: None,
            stable: false,
            untold: None,
        }
    }

    /// It was told to end, or killed.
    pub(super) fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Draining { .. } | Phase::Killed)
    }

    /// It starts, or is about to.
    pub(super) fn is_starting(&self) -> bool {
        matches!(self.phase, Phase::Spawning | Phase::Starting)
    }

    /// It is to stay: nothing speaks against it.
    pub(super) fn is_heir(&self) -> bool {
        self.decision.is_none() && !self.is_ending()
    }

    /// It serves, and nothing as urgent as `reason` was found of it.
    pub(super) fn is_open_to(&self, reason: Reason) -> bool {
        self.phase == Phase::Ready
            && self.decision.as_ref().is_none_or(|made| urgency(made.reason) < urgency(reason))
    }

    /// It serves from now on: what it opened while it started is no leak.
    pub(super) fn ready(&mut self, now: Instant) {
        self.phase = Phase::Ready;
        self.growth = Growth::default();
        self.baseline = None;
        self.above_since = None;
        self.health.begin(now);
    }

    /// Why it goes, and the figures of this instant.
    pub(super) fn decide(&mut self, reason: Reason, detail: String, now: Instant) {
        self.decision =
            Some(Decision { reason, detail, fd_open: self.open, at: now, start_at: now });
    }

    /// A count came; the finding, if it crosses a line.
    pub(super) fn counted(
        &mut self,
        now: Instant,
        open: u32,
        owned: u32,
        settings: &Settings,
    ) -> Option<Finding> {
        (self.open, self.owned) = (open, owned);
        if self.phase == Phase::Ready {
            self.baseline.get_or_insert(i64::from(open) - i64::from(owned));
        }
        self.growth.sample(now, open, owned);
        let above = self.is_open_to(Reason::FdUnexplained)
            && self.unexplained() > i64::from(settings.unexplained);
        self.above_since = above.then(|| self.above_since.unwrap_or(now));
        self.pace.counted(now, &self.growth, self.left(settings), settings);
        let finding = self.line_crossed(now, settings);
        if let (None, Some(since)) = (&finding, self.above_since) {
            self.pace.confirm(since, settings);
        }
        finding
    }

    fn line_crossed(&self, now: Instant, settings: &Settings) -> Option<Finding> {
        let open = self.open;
        if self.phase == Phase::Starting && open >= settings.ceiling {
            let ceiling = settings.ceiling;
            let detail = format!("{open} descriptors open before it was ready, ceiling {ceiling}");
            return Some(Finding { reason: Reason::FdCeiling, detail });
        }
        if self.is_open_to(Reason::FdCeiling) && open >= settings.ceiling {
            let detail = format!("{open} descriptors open, ceiling {}", settings.ceiling);
            return Some(Finding { reason: Reason::FdCeiling, detail });
        }
        if self.is_open_to(Reason::FdThreshold) && open >= settings.threshold {
            let detail = format!("{open} descriptors open, threshold {}", settings.threshold);
            return Some(Finding { reason: Reason::FdThreshold, detail });
        }
        let since = self.above_since?;
        (now >= since + pace::shortest(settings) / 2).then(|| Finding {
            reason: Reason::FdUnexplained,
            detail: format!(
                "{} descriptors unexplained, at most {} may be",
                self.unexplained(),
                settings.unexplained
            ),
        })
    }

    /// How many descriptors may still come before the nearest line is crossed.
    fn left(&self, settings: &Settings) -> Option<f64> {
        let below = |line: u32| i64::from(line) - 1 - i64::from(self.open);
        let ceiling = (self.phase == Phase::Starting || self.is_open_to(Reason::FdCeiling))
            .then(|| below(settings.ceiling));
        let others = self.is_open_to(Reason::FdThreshold).then(|| {
            let unexplained = i64::from(settings.unexplained) - self.unexplained();
            below(settings.threshold).min(unexplained)
        });
        ceiling.into_iter().chain(others).min().map(|left| left as f64)
    }

    fn unexplained(&self) -> i64 {
        i64::from(self.open) - i64::from(self.owned) - self.baseline.unwrap_or(0)
    }

    /// When something of this worker is due.
    pub(super) fn due_at(&self, settings: &Settings) -> Option<Instant> {
        match self.phase {
            Phase::Spawning | Phase::Killed => None,
            Phase::Starting => Some(self.pace.due().min(self.started_at + settings.start_timeout)),
            Phase::Ready => {
                let late = self
                    .is_open_to(Reason::Unhealthy)
                    .then(|| self.health.late_at(settings.heartbeat_timeout));
                [Some(self.pace.due()), late, self.drain_at(settings)].into_iter().flatten().min()
            }
            Phase::Draining { kill_at } => Some(kill_at),
        }
    }

    /// When it is drained even if its replacement is not ready: a leak goes on meanwhile. One that
    /// is only replaced by request waits for its replacement.
    pub(super) fn drain_at(&self, settings: &Settings) -> Option<Instant> {
        let decision = self.decision.as_ref().filter(|_| self.phase == Phase::Ready)?;
        (urgency(decision.reason) >= urgency(Reason::FdThreshold))
            .then(|| decision.start_at + settings.start_timeout)
    }

    /// What the history keeps of it.
    pub(super) fn record(self, decision: Decision, exit: Exit, now: Instant) -> Record {
        Record {
            generation: self.generation,
            pid: self.pid,
            reason: decision.reason,
            detail: decision.detail,
            exit,
            fd_open: decision.fd_open,
            took: now.saturating_sub(decision.at),
            lived: now.saturating_sub(self.started_at),
            decided_at: decision.at,
        }
    }

    /// What status calls its phase.
    pub(super) fn state(&self) -> WorkerState {
        match self.phase {
            Phase::Spawning | Phase::Starting => WorkerState::Starting,
            Phase::Ready => WorkerState::Ready,
            Phase::Draining { .. } => WorkerState::Draining,
            Phase::Killed => WorkerState::Killed,
        }
    }

    /// What status shows of it.
    pub(super) fn view(&self, now: Instant, settings: &Settings) -> View {
        let trend = self.growth.trend();
        let to_threshold = trend.map(|trend| {
            let expected = f64::from(self.open) + trend.since_last(now);
            let left = (f64::from(settings.threshold) - expected).max(0.0);
            Duration::try_from_secs_f64(left / trend.per_second).unwrap_or(Duration::MAX)
        });
        View {
            generation: self.generation,
            pid: self.pid,
            state: self.state(),
            started_at: self.started_at,
            heartbeat_at: self.health.heartbeat_at(),
            health: self.health.by_part(now, settings.heartbeat_timeout),
            open: self.open,
            owned: self.owned,
            baseline: self.baseline.map(|rest| u32::try_from(rest).unwrap_or(0)),
            budget: self.budget,
            per_second: trend.map_or(0.0, |trend| trend.per_second),
            to_threshold,
        }
    }
}
