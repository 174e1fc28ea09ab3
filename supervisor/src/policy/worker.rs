//! The policy's state of one worker.

use std::time::Duration;

use evonic_shared::{
    config::Fd,
    reason::Reason,
    status::{Exit, WorkerState},
};

use super::{
    Instant, Record, Settings, count_schedule, count_schedule::CountSchedule, growth::Growth,
    health::Health,
};

/// A worker, from the request of its start until it is reaped.
#[derive(Debug)]
pub struct Worker {
    pub(crate) generation: u64,
    pub(crate) pid: u32,
    pub(super) phase: Phase,
    pub(crate) started_at: Instant,
    /// Since when its start is waited for: it was spawned, or the supervisor did not run.
    pub(super) awaited_since: Instant,
    /// From its hello; [`None`] before.
    pub(crate) budget: Option<u32>,
    pub(crate) open: u32,
    pub(crate) owned: u32,
    pub(crate) baseline: Option<i64>,
    pub(super) growth: Growth,
    pub(super) counts: CountSchedule,
    pub(crate) health: Health,
    pub(super) decision: Option<Decision>,
    /// When the unexplained limit was passed.
    pub(super) above_since: Option<Instant>,
    /// It started with old settings: the user whose reload replaced them.
    pub(super) stale: Option<u32>,
    /// It was ready and has lived for `stable_after`.
    pub(super) stable: bool,
    /// A predecessor that was reaped before this worker could be notified.
    pub(super) pending_gone: Option<u64>,
    /// Why it ends, as it said itself.
    pub(super) last_words: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Phase {
    /// Its start is requested and not answered.
    Spawning,
    Starting,
    Ready,
    Draining {
        kill_at: Instant,
    },
    Killed,
}

/// Why a worker is replaced or stopped.
#[derive(Clone, Debug)]
pub(super) struct Decision {
    pub(super) reason: Reason,
    pub(super) detail: String,
    pub(super) fd_open: u32,
    pub(super) at: Instant,
    /// When the replacement may start.
    pub(super) start_at: Instant,
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
    pub(super) fn new(generation: u64, now: Instant, settings: &Settings) -> Self {
        Self {
            generation,
            pid: 0,
            phase: Phase::Spawning,
            started_at: now,
            awaited_since: now,
            budget: None,
            open: 0,
            owned: 0,
            baseline: None,
            growth: Growth::default(),
            counts: CountSchedule::new(now, settings),
            health: Health::new(now),
            decision: None,
            above_since: None,
            stale: None,
            stable: false,
            pending_gone: None,
            last_words: None,
        }
    }

    pub(super) fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Draining { .. } | Phase::Killed)
    }

    pub(super) fn is_starting(&self) -> bool {
        matches!(self.phase, Phase::Spawning | Phase::Starting)
    }

    /// It starts or serves, and no decision is made against it.
    pub(super) fn is_incumbent(&self) -> bool {
        self.decision.is_none() && !self.is_ending()
    }

    /// It serves, and no decision as urgent as `reason` is made.
    pub(super) fn is_open_to(&self, reason: Reason) -> bool {
        self.phase == Phase::Ready
            && self.decision.as_ref().is_none_or(|made| urgency(made.reason) < urgency(reason))
    }

    /// Forgets what it opened while it started: that is no leak.
    pub(super) fn ready(&mut self, now: Instant) {
        self.phase = Phase::Ready;
        self.growth = Growth::default();
        self.baseline = None;
        self.above_since = None;
        self.health.begin(now);
    }

    /// The supervisor did not run: nothing is late that it waits for.
    pub(super) fn restart_deadlines(&mut self, now: Instant, grace: Duration) {
        self.health.begin(now);
        match &mut self.phase {
            Phase::Starting => self.awaited_since = now,
            Phase::Draining { kill_at } => *kill_at = now + grace,
            Phase::Spawning | Phase::Ready | Phase::Killed => {}
        }
        if let Some(decision) = &mut self.decision {
            decision.start_at = decision.start_at.max(now);
        }
    }

    pub(super) fn decide(&mut self, reason: Reason, detail: String, now: Instant) {
        self.decision =
            Some(Decision { reason, detail, fd_open: self.open, at: now, start_at: now });
    }

    /// Takes a count; the finding, if it passes a limit.
    pub(super) fn counted(
        &mut self,
        now: Instant,
        open: u32,
        owned: u32,
        settings: &Settings,
    ) -> Option<(Reason, String)> {
        (self.open, self.owned) = (open, owned);
        if self.phase == Phase::Ready {
            self.baseline.get_or_insert(i64::from(open) - i64::from(owned));
        }
        self.growth.sample(now, open, owned);
        let above = self.is_open_to(Reason::FdUnexplained)
            && self.unexplained() > i64::from(settings.fd.unexplained);
        self.above_since = above.then(|| self.above_since.unwrap_or(now));
        self.counts.counted(now, &self.growth, self.left(settings), settings);
        let finding = self.limit_passed(now, settings);
        if let (None, Some(since)) = (&finding, self.above_since) {
            self.counts.confirm(since, settings);
        }
        finding
    }

    fn limit_passed(&self, now: Instant, settings: &Settings) -> Option<(Reason, String)> {
        let Fd { ceiling, threshold, .. } = settings.fd;
        let open = self.open;
        if self.phase == Phase::Starting && open >= ceiling {
            let detail = format!("{open} descriptors open before it was ready, ceiling {ceiling}");
            return Some((Reason::FdCeiling, detail));
        }
        if self.is_open_to(Reason::FdCeiling) && open >= ceiling {
            let detail = format!("{open} descriptors open, ceiling {ceiling}");
            return Some((Reason::FdCeiling, detail));
        }
        if self.is_open_to(Reason::FdThreshold) && open >= threshold {
            let detail = format!("{open} descriptors open, threshold {threshold}");
            return Some((Reason::FdThreshold, detail));
        }
        let since = self.above_since?;
        let (unexplained, limit) = (self.unexplained(), settings.fd.unexplained);
        let detail = format!("{unexplained} descriptors unexplained, at most {limit} may be");
        (now >= since + count_schedule::shortest(settings) / 2)
            .then_some((Reason::FdUnexplained, detail))
    }

    /// How many more descriptors reach the nearest limit.
    fn left(&self, settings: &Settings) -> Option<f64> {
        let below = |limit: u32| i64::from(limit) - 1 - i64::from(self.open);
        let ceiling = (self.phase == Phase::Starting || self.is_open_to(Reason::FdCeiling))
            .then(|| below(settings.fd.ceiling));
        let others = self.is_open_to(Reason::FdThreshold).then(|| {
            let unexplained = i64::from(settings.fd.unexplained) - self.unexplained();
            below(settings.fd.threshold).min(unexplained)
        });
        ceiling.into_iter().chain(others).min().map(|left| left as f64)
    }

    fn unexplained(&self) -> i64 {
        i64::from(self.open) - i64::from(self.owned) - self.baseline.unwrap_or(0)
    }

    pub(super) fn due_at(&self, settings: &Settings) -> Option<Instant> {
        match self.phase {
            Phase::Spawning | Phase::Killed => None,
            Phase::Starting => {
                Some(self.counts.due.min(self.awaited_since + settings.supervisor.start_timeout))
            }
            Phase::Ready => {
                let late = self
                    .is_open_to(Reason::Unhealthy)
                    .then(|| self.health.late_at(settings.supervisor.heartbeat_timeout));
                [Some(self.counts.due), late, self.drain_at(settings)].into_iter().flatten().min()
            }
            Phase::Draining { kill_at } => Some(kill_at),
        }
    }

    /// When it is drained even without a ready replacement: it leaks on meanwhile. One that is
    /// replaced by request waits for its replacement.
    pub(super) fn drain_at(&self, settings: &Settings) -> Option<Instant> {
        let decision = self.decision.as_ref().filter(|_| self.phase == Phase::Ready)?;
        (urgency(decision.reason) >= urgency(Reason::FdThreshold))
            .then(|| decision.start_at + settings.supervisor.start_timeout)
    }

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

    pub(crate) fn state(&self) -> WorkerState {
        match self.phase {
            Phase::Spawning | Phase::Starting => WorkerState::Starting,
            Phase::Ready => WorkerState::Ready,
            Phase::Draining { .. } => WorkerState::Draining,
            Phase::Killed => WorkerState::Killed,
        }
    }

    /// Growth of the descriptors it does not own, a second, and the time to the threshold at that
    /// growth; [`None`] when flat.
    pub(crate) fn leak(&self, now: Instant, threshold: u32) -> Option<(f64, Duration)> {
        let trend = self.growth.trend?;
        let expected = f64::from(self.open) + trend.since_last(now);
        let left = (f64::from(threshold) - expected).max(0.0);
        let time = Duration::try_from_secs_f64(left / trend.per_second).unwrap_or(Duration::MAX);
        Some((trend.per_second, time))
    }
}
