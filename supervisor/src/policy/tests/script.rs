//! Drives a policy event by event, and lets every deadline pass that lies between.

use std::collections::BTreeMap;

use evonic_shared::{control::Part, status::Exit};

use super::{super::*, ms, observer::Observer, settings};

/// A policy, its clock, and everything it asked for.
pub(super) struct Script {
    pub(super) policy: Policy,
    pub(super) now: Instant,
    pub(super) log: Vec<(Instant, Action)>,
    pub(super) observer: Observer,
    /// Steps taken because a deadline passed.
    pub(super) timers: usize,
}

impl Script {
    pub(super) fn new() -> Self {
        Self::with(settings(), 7)
    }

    pub(super) fn with(settings: Settings, seed: u64) -> Self {
        let (policy, first) = Policy::new(settings.clone(), 1, seed);
        let mut observer = Observer::new(settings);
        observer.check(None, &first, &policy, Instant::ZERO);
        let log = first.into_iter().map(|action| (Instant::ZERO, action)).collect();
        Self { policy, now: Instant::ZERO, log, observer, timers: 0 }
    }

    /// A policy whose worker 1 is ready since one second, with 20 descriptors open and 5 owned.
    pub(super) fn ready() -> Self {
        let mut script = Self::new();
        script.start(1);
        script.at(ms(1000), Event::Ready { generation: 1 });
        script.count(1, 20, 5);
        script.heartbeat(1, 0);
        script
    }

    /// Spawned and hello, now.
    pub(super) fn start(&mut self, generation: u64) {
        self.now(Event::Spawned { generation, pid: 1000 + generation as u32 });
        self.now(Event::Hello { proposed: generation, generation, budget: 100 });
    }

    /// An event at once.
    pub(super) fn now(&mut self, event: Event) -> Vec<Action> {
        let actions = self.policy.step(event.clone(), self.now);
        self.observer.check(Some(&event), &actions, &self.policy, self.now);
        self.log.extend(actions.iter().map(|action| (self.now, action.clone())));
        actions
    }

    /// Lets time pass, with every timer that is due.
    pub(super) fn until(&mut self, at: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        while let Some(deadline) = self.policy.deadline().filter(|deadline| *deadline <= at) {
            assert!(deadline >= self.now, "a deadline in the past");
            self.now = deadline;
            self.timers += 1;
            actions.extend(self.now(Event::Timer));
        }
        self.now = at;
        actions
    }

    /// An event at a time.
    pub(super) fn at(&mut self, at: Instant, event: Event) -> Vec<Action> {
        let mut actions = self.until(at);
        actions.extend(self.now(event));
        actions
    }

    pub(super) fn count(&mut self, generation: u64, open: u32, owned: u32) -> Vec<Action> {
        self.now(Event::Counted { generation, open, owned })
    }

    /// A heartbeat whose parts are all of this age.
    pub(super) fn heartbeat(&mut self, generation: u64, age_ms: u64) -> Vec<Action> {
        let age: BTreeMap<Part, Duration> =
            Part::ALL.into_iter().map(|part| (part, ms(age_ms))).collect();
        self.now(Event::Heartbeat { generation, age })
    }

    /// Heartbeats every two seconds until `at`, each with a count of 20 and 5.
    pub(super) fn live_until(&mut self, generation: u64, at: Instant) {
        while self.now + ms(2000) < at {
            self.until(self.now + ms(2000));
            self.heartbeat(generation, 0);
            self.count(generation, 20, 5);
        }
        self.until(at);
    }

    pub(super) fn exit(&mut self, generation: u64, signal: &str) -> Vec<Action> {
        let exit = Exit::Signal { signal: signal.to_owned(), after_grace: false };
        self.now(Event::Exited { generation, exit })
    }
}

/// Actions but for counts and changes, in a short form: `spawn 2 beside 1`, `drain 1 stop`.
pub(super) fn brief(actions: &[Action]) -> Vec<String> {
    actions
        .iter()
        .filter_map(|action| {
            Some(match action {
                Action::Count { .. } | Action::Changed | Action::Answer { .. } => return None,
                Action::Spawn { generation, predecessor: None } => format!("spawn {generation}"),
                Action::Spawn { generation, predecessor: Some(other) } => {
                    format!("spawn {generation} beside {other}")
                }
                Action::CensusReady { generation } => format!("census {generation}"),
                Action::PostMortem { generation, reason, .. } => {
                    format!("post-mortem {generation} {reason}")
                }
                Action::Drain { generation, reason, .. } => format!("drain {generation} {reason}"),
                Action::Kill { generation } => format!("kill {generation}"),
                Action::PredecessorGone { to, gone } => format!("notify {to} of {gone}"),
                Action::Record(record) => {
                    format!("record {} {}: {}", record.generation, record.reason, record.detail)
                }
                Action::Exit => "exit".to_owned(),
            })
        })
        .collect()
}
