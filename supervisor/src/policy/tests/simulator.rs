//! Model workers under the policy: each is what a test makes of it, and the clock is virtual.

use std::collections::BTreeMap;

use evonic_shared::{control::Part, status::Exit};

use super::{super::*, Script, ms};

/// Descriptors open and owned, by the seconds since the simulation began.
type Counts = Box<dyn Fn(f64) -> (u32, u32)>;

/// How a model worker behaves.
pub(super) struct Model {
    pub(super) ready_after: Option<Duration>,
    pub(super) exit_after_drain: Option<Duration>,
    pub(super) heartbeat: Option<Duration>,
    pub(super) counts: Counts,
}

impl Model {
    /// An honest worker with 20 descriptors of which it owns 5.
    pub(super) fn honest() -> Self {
        Self {
            ready_after: Some(ms(80)),
            exit_after_drain: Some(ms(60)),
            heartbeat: Some(ms(2000)),
            counts: Box::new(|_| (20, 5)),
        }
    }

    /// An honest worker but for `rate` descriptors a second that leak from `begin` on.
    pub(super) fn leaking(rate: f64, begin: f64) -> Self {
        let counts = move |t: f64| (20 + (rate * (t - begin).max(0.0)) as u32, 5);
        Self { counts: Box::new(counts), ..Self::honest() }
    }
}

/// A policy among model workers.
pub(super) struct Simulator {
    pub(super) script: Script,
    make: Box<dyn Fn(u64) -> Model>,
    models: BTreeMap<u64, Model>,
    /// What is to happen, by time; the index keeps the order of one instant.
    agenda: BTreeMap<(Instant, u64), Event>,
    next_index: u64,
    random: fastrand::Rng,
    pub(super) counts: Vec<Instant>,
    pub(super) heartbeats: usize,
    /// Connections in the accept queue, by the seconds since the simulation began; it is looked
    /// at with each count.
    pub(super) waiting: Box<dyn Fn(f64) -> u32>,
}

impl Simulator {
    /// Every generation's worker is what `make` makes.
    pub(super) fn new(settings: Settings, make: impl Fn(u64) -> Model + 'static) -> Self {
        let script = Script::with(settings, 7);
        let first: Vec<Action> = script.log.iter().map(|(_, action)| action.clone()).collect();
        let mut simulator = Self {
            script,
            make: Box::new(make),
            models: BTreeMap::new(),
            agenda: BTreeMap::new(),
            next_index: 0,
            random: fastrand::Rng::with_seed(1),
            counts: Vec::new(),
            heartbeats: 0,
            waiting: Box::new(|_| 0),
        };
        simulator.execute(first);
        simulator
    }

    /// The next thing that happens, if it does until then: an event, or a deadline a little late.
    pub(super) fn next(&mut self, until: Instant) -> bool {
        let deadline = self.script.policy.deadline().map(|at| at.max(self.script.now) + ms(1) / 5);
        let planned = self.agenda.keys().next().copied();
        let timer_first = match (deadline, planned) {
            (Some(deadline), Some((at, _))) => deadline < at,
            (deadline, None) => deadline.is_some(),
            (None, Some(_)) => false,
        };
        let at = if timer_first { deadline } else { planned.map(|(at, _)| at) };
        let Some(at) = at.filter(|at| *at <= until) else {
            self.script.now = until;
            return false;
        };
        self.script.now = at;
        if timer_first {
            self.script.timers += 1;
            self.feed(Event::Timer);
        } else if let Some(event) = planned.and_then(|key| self.agenda.remove(&key)) {
            self.happen(event);
        }
        true
    }

    pub(super) fn run(&mut self, until: Instant) {
        while self.next(until) {}
    }

    pub(super) fn feed(&mut self, event: Event) {
        let actions = self.script.now(event);
        self.execute(actions);
    }

    /// When, and by whom, this reason was found first.
    pub(super) fn found(&self) -> Option<(Instant, Reason)> {
        self.script.log.iter().find_map(|(at, action)| match action {
            Action::PostMortem { reason, .. } => Some((*at, *reason)),
            _ => None,
        })
    }

    fn happen(&mut self, event: Event) {
        match &event {
            Event::Heartbeat { generation, .. } => {
                let generation = *generation;
                let Some(pause) = self.models.get(&generation).and_then(|model| model.heartbeat)
                else {
                    return;
                };
                self.heartbeats += 1;
                let jitter = ms(1).mul_f64(self.random.f64());
                self.plan(self.script.now + pause + jitter, event.clone());
            }
            Event::Exited { generation, .. } if self.models.remove(generation).is_none() => return,
            Event::Ready { generation } => {
                if let Some(pause) = self.models.get(generation).and_then(|model| model.heartbeat) {
                    self.plan(self.script.now + pause, beat(*generation));
                }
            }
            _ => {}
        }
        self.feed(event);
    }

    fn execute(&mut self, actions: Vec<Action>) {
        let now = self.script.now;
        for action in actions {
            match action {
                Action::Spawn { generation, .. } => {
                    let model = (self.make)(generation);
                    let ready_after = model.ready_after;
                    self.models.insert(generation, model);
                    self.feed(Event::Spawned { generation, pid: generation as u32 });
                    let hello = Event::Hello { proposed: generation, generation, budget: 100 };
                    self.plan(now + ms(5), hello);
                    if let Some(after) = ready_after {
                        self.plan(now + after, Event::Ready { generation });
                    }
                }
                Action::Count { generation } => {
                    let Some(model) = self.models.get(&generation) else { continue };
                    let (open, owned) = (model.counts)(now.as_secs_f64());
                    self.counts.push(now);
                    self.feed(Event::Counted { generation, open, owned });
                    let waiting = (self.waiting)(now.as_secs_f64());
                    self.feed(Event::AcceptQueue { waiting });
                }
                Action::Drain { generation, .. } => {
                    let model = self.models.get(&generation);
                    if let Some(after) = model.and_then(|model| model.exit_after_drain) {
                        self.plan(now + after, exited(generation, "SIGTERM"));
                    }
                }
                Action::Kill { generation } => {
                    self.plan(now + ms(1), exited(generation, "SIGKILL"));
                }
                _ => {}
            }
        }
    }

    fn plan(&mut self, at: Instant, event: Event) {
        self.next_index += 1;
        self.agenda.insert((at, self.next_index), event);
    }
}

fn beat(generation: u64) -> Event {
    let age = Part::ALL.into_iter().map(|part| (part, ms(3))).collect();
    Event::Heartbeat { generation, age }
}

fn exited(generation: u64, signal: &str) -> Event {
    let exit = Exit::Signal { signal: signal.to_owned(), after_grace: signal == "SIGKILL" };
    Event::Exited { generation, exit }
}
