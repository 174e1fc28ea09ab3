//! What must hold whatever happens, checked at each step from outside: from events and actions.

use std::collections::{BTreeMap, BTreeSet};

use evonic_shared::status::State;

use super::{super::*, ms};

#[derive(Debug, Default)]
struct Life {
    spawned: bool,
    /// Drained, and to be killed then.
    kill_by: Option<Instant>,
    killed: bool,
}

/// Keeps its own books of the workers, and panics when the policy contradicts them.
#[derive(Debug)]
pub(super) struct Observer {
    settings: Settings,
    alive: BTreeMap<u64, Life>,
    dead: BTreeSet<u64>,
    /// Exits of which a spawning worker must be notified.
    pending_gone: BTreeMap<u64, u64>,
    highest: Option<u64>,
    stopped: bool,
    ended: bool,
    records: usize,
}

impl Observer {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            alive: BTreeMap::new(),
            dead: BTreeSet::new(),
            pending_gone: BTreeMap::new(),
            highest: None,
            stopped: false,
            ended: false,
            records: 0,
        }
    }

    pub(super) fn alive(&self) -> Vec<u64> {
        self.alive.keys().copied().collect()
    }

    pub(super) fn is_spawned(&self, generation: u64) -> bool {
        self.alive.get(&generation).is_some_and(|life| life.spawned)
    }

    pub(super) fn is_killed(&self, generation: u64) -> bool {
        self.alive.get(&generation).is_some_and(|life| life.killed)
    }

    pub(super) fn is_drained(&self, generation: u64) -> bool {
        self.alive.get(&generation).is_some_and(|life| life.kill_by.is_some())
    }

    /// Checks the actions that answered `event` (none: the first actions of all).
    pub(super) fn check(
        &mut self,
        event: Option<&Event>,
        actions: &[Action],
        policy: &Policy,
        now: Instant,
    ) {
        let mut expected_records = Vec::new();
        let mut expected_gone = Vec::new();
        match event {
            Some(Event::Spawned { generation, .. }) => {
                if let Some(life) = self.alive.get_mut(generation) {
                    life.spawned = true;
                    if let Some(gone) = self.pending_gone.remove(generation) {
                        expected_gone.push((*generation, gone));
                    }
                }
            }
            Some(Event::SpawnFailed { generation, .. })
                if self.alive.get(generation).is_some_and(|life| !life.spawned) =>
            {
                self.died(*generation, &mut expected_records, &mut expected_gone);
            }
            Some(Event::Exited { generation, .. }) if self.alive.contains_key(generation) => {
                self.died(*generation, &mut expected_records, &mut expected_gone);
            }
            Some(Event::Hello { proposed, generation, .. }) => {
                let shown = shown(policy);
                if !shown.contains(proposed) && shown.contains(generation) {
                    self.highest = self.highest.max(Some(*generation));
                    if let Some(life) = self.alive.remove(proposed) {
                        self.alive.insert(*generation, life);
                    }
                }
            }
            Some(Event::Reload { settings, .. }) => self.settings = settings.clone(),
            Some(Event::Stop) => self.stopped = true,
            Some(Event::Resumed) => {
                let graces = self.alive.values_mut().filter_map(|life| life.kill_by.as_mut());
                graces.for_each(|kill_by| *kill_by = now + self.settings.supervisor.grace);
            }
            _ => {}
        }
        let mut gone = Vec::new();
        let mut records = Vec::new();
        for (index, action) in actions.iter().enumerate() {
            assert!(!self.ended, "an action after the end: {action:?}");
            match action {
                Action::Spawn { generation, predecessor } => {
                    assert!(!self.stopped, "a start after stop");
                    assert!(self.highest < Some(*generation), "proposals must grow");
                    assert_eq!(self.alive.keys().next_back(), predecessor.as_ref());
                    self.highest = Some(*generation);
                    self.alive.insert(*generation, Life::default());
                    assert!(self.alive.len() <= 2, "three workers alive");
                }
                Action::Count { generation } | Action::CensusReady { generation } => {
                    self.assert_runs(*generation, action);
                }
                Action::PostMortem { generation, .. } => {
                    self.assert_runs(*generation, action);
                    assert!(!self.is_drained(*generation), "a census after SIGTERM");
                }
                Action::Drain { generation, grace, .. } => {
                    self.assert_runs(*generation, action);
                    let life = self.alive.get_mut(generation).expect("it runs");
                    let kill_by = now + *grace;
                    assert!(*grace <= self.settings.supervisor.grace, "more than the grace");
                    assert!(life.kill_by.is_none_or(|before| kill_by < before), "drained twice");
                    life.kill_by = Some(kill_by);
                }
                Action::Kill { generation } => {
                    self.assert_runs(*generation, action);
                    let life = self.alive.get_mut(generation).expect("it runs");
                    assert!(!life.killed, "killed twice");
                    life.killed = true;
                }
                Action::PredecessorGone { to, gone: dead } => {
                    self.assert_runs(*to, action);
                    gone.push((*to, *dead));
                }
                Action::Record(record) => records.push(record.generation),
                Action::Changed | Action::Answer { .. } => {}
                Action::Exit => {
                    assert!(self.stopped, "exit without stop");
                    assert!(self.alive.is_empty(), "exit with a worker alive");
                    assert_eq!(index, actions.len() - 1, "exit is the last action");
                    self.ended = true;
                }
            }
        }
        assert_eq!(records, expected_records, "each death is recorded once");
        assert_eq!(gone, expected_gone, "each survivor is notified of each exit");
        self.records += records.len();
        self.check_rest(event, policy, now);
    }

    fn check_rest(&self, event: Option<&Event>, policy: &Policy, now: Instant) {
        for (generation, life) in &self.alive {
            let overdue = life.kill_by.is_some_and(|kill_by| now > kill_by) && !life.killed;
            assert!(!overdue, "{generation} outlives its grace");
        }
        let alive: BTreeSet<u64> = self.alive.keys().copied().collect();
        assert_eq!(shown(policy), alive, "status shows who lives");
        if let Some(next) = policy.next_start() {
            assert!(next > now, "a start that is due is made");
            assert!(
                next <= now + self.settings.supervisor.backoff_cap.max(ms(1)),
                "backoff beyond its cap"
            );
        }
        if event == Some(&Event::Timer) {
            assert!(policy.deadline().is_none_or(|deadline| deadline > now), "a busy loop");
        }
        assert_eq!(self.stopped, policy.state() == State::Stopping);
        let missing = self.alive.values().all(|life| life.kill_by.is_some() || life.killed);
        if missing && !self.stopped && self.alive.len() < 2 {
            assert!(policy.next_start().is_some(), "nobody serves and nobody is to be started");
        }
        assert_eq!(self.ended, self.stopped && self.alive.is_empty());
    }

    fn died(
        &mut self,
        generation: u64,
        records: &mut Vec<u64>,
        expected_gone: &mut Vec<(u64, u64)>,
    ) {
        self.alive.remove(&generation);
        self.pending_gone.remove(&generation);
        assert!(self.dead.insert(generation), "{generation} died twice");
        records.push(generation);
        for (other, life) in &self.alive {
            if life.spawned {
                expected_gone.push((*other, generation));
            } else {
                self.pending_gone.insert(*other, generation);
            }
        }
    }

    fn assert_runs(&self, generation: u64, action: &Action) {
        let life = self.alive.get(&generation);
        assert!(life.is_some_and(|life| life.spawned), "{action:?} names who does not run");
    }
}

fn shown(policy: &Policy) -> BTreeSet<u64> {
    let (first, second) = policy.workers();
    first.into_iter().chain(second).map(|worker| worker.generation).collect()
}
