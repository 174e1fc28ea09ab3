//! The transitions: what each event does to the workers.

use std::{collections::BTreeMap, time::Duration};

use evonic_shared::control::Part;

use super::{Action, Event, Exit, Phase, Policy, Reason, Settings, decisions::Retry, messages};

/// How far above the proposed generation a worker may go: further than any lost state can lie
/// behind, and too little for a lying worker to exhaust the numbers.
const MAX_RAISE: u64 = 1 << 32;

/// Whether a worker may take `generation` where `proposed` was proposed. Otherwise it keeps the
/// proposed one until it is dead.
pub fn is_credible(proposed: u64, generation: u64) -> bool {
    (proposed..=proposed.saturating_add(MAX_RAISE)).contains(&generation)
}

impl Policy {
    /// Ignores an event that names an unknown generation.
    pub(super) fn handle(&mut self, event: Event) {
        match event {
            Event::Spawned { generation, pid } => self.spawned(generation, pid),
            Event::SpawnFailed { generation, error } => self.spawn_failed(generation, error),
            Event::Hello { proposed, generation, budget } => {
                self.hello(proposed, generation, budget)
            }
            Event::Ready { generation } => self.ready(generation),
            Event::Heartbeat { generation, age } => self.heartbeat(generation, age),
            Event::Draining { generation } => self.draining(generation),
            Event::Counted { generation, open, owned } => self.counted(generation, open, owned),
            Event::HighDescriptor { generation } => self.high(generation),
            Event::AcceptQueue { waiting } => self.accept_queue(waiting),
            Event::Probe { generation, answered } => self.probe(generation, answered),
            Event::Failed { generation, reason } => self.failed(generation, reason),
            Event::Exited { generation, exit } => self.exited(generation, exit),
            Event::Restart { uid } => self.restart(uid),
            Event::Reload { settings, uid } => self.reload(settings, uid),
            Event::Stop => self.stop(),
            Event::ShortenStop => self.shorten_stop(),
            Event::Resumed => self.restart_deadlines(),
            Event::Timer => {}
        }
    }

    fn spawned(&mut self, generation: u64, pid: u32) {
        let Some(at) = self.find_in(generation, Phase::Spawning) else { return };
        let worker = &mut self.workers[at];
        worker.pid = pid;
        worker.started_at = self.now;
        worker.awaited_since = self.now;
        worker.phase = Phase::Starting;
        worker.health.begin(self.now);
        worker.counts.requested(self.now, false, &self.settings);
        if let Some(gone) = worker.pending_gone.take() {
            self.actions.push(Action::PredecessorGone { to: generation, gone });
        }
        if worker.decision.is_some() {
            self.drain(at);
        }
    }

    fn spawn_failed(&mut self, generation: u64, error: String) {
        if self.find_in(generation, Phase::Spawning).is_some() {
            self.exited(generation, Exit::NotStarted { error });
        }
    }

    fn hello(&mut self, proposed: u64, generation: u64, budget: u32) {
        let Some(at) = self.find_in(proposed, Phase::Starting) else { return };
        let worker = &mut self.workers[at];
        if worker.budget.is_some() {
            return;
        }
        if !is_credible(proposed, generation) {
            let detail = format!("took generation {generation} where {proposed} was proposed");
            self.fail_start(at, Reason::Crash, detail, Retry::MayHelp);
            self.kill(at);
            return;
        }
        worker.budget = Some(budget);
        worker.generation = generation;
        self.next_generation = self.next_generation.max(generation + 1);
    }

    fn ready(&mut self, generation: u64) {
        let Some(at) = self.find_in(generation, Phase::Starting) else { return };
        if self.workers[at].budget.is_none() {
            return;
        }
        self.workers[at].ready(self.now);
        self.has_served = true;
        self.last_error = None;
        self.accept.clear();
        // One that is stale may have taken a generation that a reload waits for.
        if self.workers[at].stale.is_none() {
            self.actions.push(Action::Answer { generation, outcome: Ok(()) });
        }
        self.actions.push(Action::CensusReady { generation });
        self.count(at, false);
        for other in 0..self.workers.len() {
            if other != at && self.workers[other].phase == Phase::Ready {
                self.drain(other);
            }
        }
        if let Some(uid) = self.workers[at].stale {
            self.workers[at].decide(Reason::Requested, reloaded(uid), self.now);
        }
    }

    fn heartbeat(&mut self, generation: u64, age: BTreeMap<Part, Duration>) {
        let Some(at) = self.alive(generation) else { return };
        self.workers[at].health.heartbeat(self.now, age);
        self.count(at, true);
    }

    /// A worker that drains without a decision ends by itself.
    fn draining(&mut self, generation: u64) {
        let Some(at) = self.alive(generation).filter(|at| !self.workers[*at].is_ending()) else {
            return;
        };
        if self.workers[at].decision.is_none() {
            let detail = "stopped accepting, and nobody had told it to".to_owned();
            self.crash(at, detail, Retry::MayHelp);
        }
        self.drain(at);
    }

    fn counted(&mut self, generation: u64, open: u32, owned: u32) {
        let Some(at) = self.alive(generation) else { return };
        if let Some((reason, detail)) =
            self.workers[at].counted(self.now, open, owned, &self.settings)
        {
            self.find(at, reason, detail);
        }
    }

    fn high(&mut self, generation: u64) {
        if let Some(at) = self.alive(generation).filter(|at| !self.workers[*at].is_ending()) {
            self.count(at, false);
        }
    }

    fn accept_queue(&mut self, waiting: u32) {
        let Some(at) = self.acceptor() else { return };
        if let Some(detail) =
            self.accept.polled(waiting, self.now, self.settings.supervisor.accept_stall)
        {
            self.find(at, Reason::Unhealthy, detail);
        }
    }

    fn probe(&mut self, generation: u64, answered: bool) {
        let Some(at) = self.find_in(generation, Phase::Ready) else { return };
        if let Some(detail) = self.workers[at].health.probe(answered) {
            self.find(at, Reason::Unhealthy, detail);
        }
    }

    fn failed(&mut self, generation: u64, reason: String) {
        if let Some(at) = self.position(generation) {
            self.workers[at].last_words = Some(reason);
        }
    }

    fn exited(&mut self, generation: u64, exit: Exit) {
        let Some(at) = self.position(generation) else { return };
        if self.workers[at].decision.is_none() {
            let served = self.workers[at].phase == Phase::Ready;
            let when =
                if served || self.workers[at].pid == 0 { "" } else { " before it was ready" };
            let said = self.workers[at].last_words.take();
            let said = said.map_or_else(String::new, |reason| format!(": {reason}"));
            let retry = if messages::is_permanent(&exit) { Retry::IsVain } else { Retry::MayHelp };
            self.crash(at, format!("{}{when}{said}", messages::exit(&exit)), retry);
        }
        let mut worker = self.workers.remove(at);
        let decision = worker.decision.take().expect("one that had none has just crashed");
        self.actions.push(Action::Record(worker.record(decision, exit, self.now)));
        for survivor in &mut self.workers {
            match survivor.phase {
                Phase::Spawning => survivor.pending_gone = Some(generation),
                _ => {
                    let to = survivor.generation;
                    self.actions.push(Action::PredecessorGone { to, gone: generation });
                }
            }
        }
    }

    /// The least generation whose worker answers a restart that comes now: one that starts already,
    /// or the next.
    pub fn answers_restart(&self) -> u64 {
        let mut workers = self.workers.iter();
        let starting = workers.find(|worker| worker.is_incumbent() && worker.is_starting());
        starting.map_or(self.next_generation, |worker| worker.generation)
    }

    /// The same of a reload: what starts already may have the old settings.
    pub const fn answers_reload(&self) -> u64 {
        self.next_generation
    }

    /// A new worker is wanted; one that starts is the answer.
    fn restart(&mut self, uid: u32) {
        self.start_now();
        self.request(&format!("an operator asked for it (uid {uid})"));
    }

    /// A worker that starts with the old settings is replaced as soon as it is ready.
    fn reload(&mut self, settings: Settings, uid: u32) {
        self.settings = settings;
        self.start_now();
        for worker in &mut self.workers {
            worker.stale = (worker.is_incumbent() && worker.is_starting()).then_some(uid);
        }
        self.request(&reloaded(uid));
    }

    /// Cancels the delay before the next start.
    pub(super) fn start_now(&mut self) {
        self.crashes.next_start = None;
        self.leaks.next_start = None;
    }

    fn request(&mut self, detail: &str) {
        if self.stopping {
            return;
        }
        for worker in &mut self.workers {
            if worker.is_incumbent() && worker.phase == Phase::Ready {
                worker.decide(Reason::Requested, detail.to_owned(), self.now);
            }
        }
    }

    fn stop(&mut self) {
        self.stopping = true;
        for at in 0..self.workers.len() {
            let worker = &mut self.workers[at];
            if worker.decision.is_none() {
                worker.decide(Reason::Stop, "the supervisor stops".to_owned(), self.now);
            }
            if worker.phase != Phase::Spawning && !worker.is_ending() {
                self.drain(at);
            }
        }
    }

    /// Cuts short what is left of the grace: of workers that drain, and of one that is spawned.
    fn shorten_stop(&mut self) {
        if !self.stopping {
            return;
        }
        self.shortened = true;
        let grace = self.grace();
        let until = self.now + grace;
        for worker in &mut self.workers {
            let (generation, reason) = (worker.generation, Reason::Stop);
            if let Phase::Draining { kill_at } = &mut worker.phase
                && *kill_at > until
            {
                *kill_at = until;
                self.actions.push(Action::Drain { generation, reason, grace });
            }
        }
    }
}

fn reloaded(uid: u32) -> String {
    format!("the configuration was read again (uid {uid})")
}
