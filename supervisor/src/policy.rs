//! What to do: a pure function of state, event and time.
//!
//! `Policy::step(event, now) -> actions` knows no clock, no descriptor and no process. The event
//! loop turns the world into [`Event`]s, executes [`Action`]s in order, and sleeps until
//! [`Policy::deadline`].
//!
//! At most two workers live at once, and at most one of them is to stay (the *heir*): it starts or
//! serves, and nothing speaks against it. Whenever there is no heir and room for one, a worker is
//! started, at once or when the backoff is over. That single rule makes replacements, restarts
//! after crashes and queued requests.
//!
//! ```text
//!                 spawn                ready
//!   (no worker) --------> starting ------------> running <-------------------------+
//!        ^                   | died, no hello       | fd_threshold, fd_unexplained, |
//!        | backoff           | or start_timeout     | requested                     |
//!        |                   v                      v                               |
//!        +-------------- crash (kill, reap)    recycling: replacement starts beside it
//!        |                                          | replacement ready, or start_timeout
//!        |                                          v
//!        |                     drain + SIGTERM to the old; after grace SIGKILL ----+
//!        |                                          ^
//!        +-- died while running: crash              | fd_ceiling, unhealthy: SIGTERM to the old
//!            spawn at once, then with backoff       | at once, replacement starts at once
//!   any --stop--> drain all; after grace SIGKILL; no worker left: Exit
//! ```
//!
//! | Event | starting | ready | draining | killed |
//! |---|---|---|---|---|
//! | `Hello` | renamed, and later proposals are above; below the proposed one or absurdly far above: kill, crash | - | - | - |
//! | `Ready` | after hello: becomes current; a predecessor is drained; census, count for the baseline | - | - | - |
//! | `Heartbeat` | count | count; parts are late from here | count | - |
//! | `HighDescriptor` | count | count | - | - |
//! | count past threshold, or twice past unexplained | - | post-mortem, spawn; drain when the replacement is ready or at `start_timeout` | - | - |
//! | count past ceiling | post-mortem, drain; paced as a crash | post-mortem, drain now, spawn | - | - |
//! | `start_timeout` over | kill; crash | a leak that waits for its replacement is drained | - | - |
//! | part late, accept queue stalled, probe failed twice | - | post-mortem, drain now, spawn | - | - |
//! | `Draining` | crash; drain | unasked: crash, drain, spawn; waiting for its replacement: drain | - | - |
//! | `SpawnFailed` | crash | - | - | - |
//! | `Exited` | crash; backoff; spawn | crash, unless it was to go; spawn | record; tell successor | record; tell successor |
//! | grace over | - | - | kill | - |
//! | `Restart` | it is the answer | spawn; drain when the replacement is ready | - | - |
//! | `Reload` | replaced as soon as it is ready | spawn; drain when the replacement is ready | - | - |
//! | `Stop` | drain | drain | goes on | goes on |
//!
//! What the table leaves open:
//!
//! - **Urgency.** `requested` < `fd_unexplained`, `fd_threshold` < `fd_ceiling`, `unhealthy`. A
//!   worker that is to go already is only decided on again by something more urgent; what it
//!   means for the worker is of the later decision, and so is its record.
//! - **A replacement that fails to start** counts as a crash. A leaking worker is drained all the
//!   same, `start_timeout` after the decision, because the leak goes on. One that was only to be
//!   replaced by request goes on serving: a configuration that cannot start takes nobody's
//!   service away. [`Policy::last_error`] says what happened.
//! - **Two restarts** are one while the first is on its way: the worker that starts is new to both.
//!   A reload is another matter: a worker that starts may have read the old configuration. It is
//!   replaced when it is ready, so one more replacement is queued, never two. Either asks for a
//!   start at once where a backoff was waited for.
//! - **A third worker** is never started: a serving worker that must go while its predecessor still
//!   drains is replaced when the predecessor is dead, at most `grace` later. Meanwhile connections
//!   wait in the held queue.
//! - **Crashes in a row** end when a worker that is ready has lived for `stable_after`. Replacements
//!   for leaks and by request are no crashes.
//! - **Leaks in a row** are those of workers younger than `stable_after`. They have a pace of their
//!   own, as that of crashes: the replacement's start waits, and the leaking worker serves until it
//!   is ready. Where nobody serves (past the ceiling, or dead) the wait is a second at most. As many
//!   in a row as make a crash loop make a leak loop, until a worker lives for `stable_after` and
//!   does not leak.

use std::time::Duration;

use evonic_shared::{
    reason::Reason,
    status::{Exit, State, WorkerState},
};

mod accept;
mod action;
mod backoff;
mod decisions;
mod due;
mod event;
mod growth;
mod health;
mod pace;
mod settings;
#[cfg(test)]
mod tests;
mod transitions;
mod view;
mod wording;
mod worker;

pub use action::{Action, Record};
pub use event::Event;
pub use settings::Settings;
pub use transitions::is_credible;
pub use view::View;

use self::{
    accept::AcceptQueue,
    backoff::RestartBackoff,
    worker::{Phase, Worker},
};

/// Time since the supervisor's start: the event loop's monotonic clock, the tests' virtual one.
pub type Instant = Duration;

/// The most workers alive at once.
const MOST_ALIVE: usize = 2;

/// A step that comes later than this after its deadline proves that the supervisor itself did not
/// run (it was stopped, frozen or starved): nobody is blamed for what could not be heard meanwhile.
const OVERSLEPT: Duration = Duration::from_secs(1);

/// The longest that the pace of leaks leaves nobody to serve: connections wait in the held queue.
const LONGEST_GAP: Duration = Duration::from_secs(1);

/// The supervisor's state machine.
#[derive(Debug)]
pub struct Policy {
    settings: Settings,
    /// Every worker alive, the oldest first; at most one of them is an heir (is to stay).
    workers: Vec<Worker>,
    /// Above every generation that ever was.
    next_generation: u64,
    /// Of crashes.
    backoff: RestartBackoff,
    /// Of leaks that came soon after their worker's start.
    leaks: RestartBackoff,
    accept: AcceptQueue,
    /// A worker was ready once.
    served: bool,
    stopping: bool,
    ended: bool,
    last_error: Option<String>,
}

impl Policy {
    /// A policy without a worker, and what to do first. `next_generation` is above every one that
    /// ever was; `seed` is of the jitter.
    #[must_use]
    pub fn new(settings: Settings, next_generation: u64, seed: u64) -> (Self, Vec<Action>) {
        let mut policy = Self {
            settings,
            workers: Vec::with_capacity(MOST_ALIVE),
            next_generation,
            backoff: RestartBackoff::new(seed),
            leaks: RestartBackoff::new(!seed),
            accept: AcceptQueue::default(),
            served: false,
            stopping: false,
            ended: false,
            last_error: None,
        };
        let mut actions = Vec::new();
        policy.replace_missing(Instant::ZERO, &mut actions);
        actions.push(Action::Changed);
        (policy, actions)
    }

    /// What this event asks for. `now` never goes back.
    #[must_use]
    pub fn step(&mut self, event: Event, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.ended {
            return actions;
        }
        let before = self.outline();
        if self.deadline().is_some_and(|deadline| now > deadline + OVERSLEPT) {
            self.excuse(now);
        }
        self.reset_failures(now);
        self.handle(event, now, &mut actions);
        self.handle_due(now, &mut actions);
        self.replace_missing(now, &mut actions);
        if self.outline() != before {
            actions.push(Action::Changed);
        }
        if self.stopping && self.workers.is_empty() {
            self.ended = true;
            actions.push(Action::Exit);
        }
        actions
    }

    /// When to send [`Event::Timer`] at the latest: the next count, grace, start timeout, late
    /// heartbeat, backoff. Each heartbeat moves it, so that an idle pair sleeps until the next
    /// heartbeat. [`None`] when nothing is awaited.
    ///
    /// Always later than the `now` of the last step, so a loop that sleeps until then and sends
    /// [`Event::Timer`] never spins. What came on a channel goes first: a heartbeat that waits in
    /// a socket is not late.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let workers = self.workers.iter().filter_map(|worker| worker.due_at(&self.settings));
        workers.chain(self.next_start()).chain(self.accept.look_at()).min()
    }

    /// What the supervisor is doing.
    #[must_use]
    pub fn state(&self) -> State {
        let heir = self.workers.iter().find(|worker| worker.is_heir());
        let serves = heir.is_some_and(|heir| heir.phase == Phase::Ready);
        if self.stopping {
            State::Stopping
        } else if !serves && self.backoff.is_loop(&self.settings) {
            State::CrashLoop
        } else if !self.served {
            State::Starting
        } else if self.leaks.is_loop(&self.settings) {
            State::LeakLoop
        } else if serves && self.workers.len() == 1 {
            State::Running
        } else {
            State::Recycling
        }
    }

    /// The worker that serves or is to serve next, and the one that is ending.
    ///
    /// While a replacement starts, the first is the replacement and the second the worker that
    /// serves until then.
    #[must_use]
    pub fn workers(&self, now: Instant) -> (Option<View>, Option<View>) {
        let view = |worker: &Worker| worker.view(now, &self.settings);
        match self.workers.as_slice() {
            [] => (None, None),
            [only] if only.is_ending() => (None, Some(view(only))),
            [only] => (Some(view(only)), None),
            [older, newer, ..] if newer.is_ending() && !older.is_ending() => {
                (Some(view(older)), Some(view(newer)))
            }
            [older, newer, ..] => (Some(view(newer)), Some(view(older))),
        }
    }

    /// When the next start is due, while backing off.
    #[must_use]
    pub fn next_start(&self) -> Option<Instant> {
        let start = self.backoff.next_start().max(self.leaks.next_start());
        start.filter(|_| self.may_start())
    }

    /// When the last grace ends during a stop; [`None`] before, and when nobody drains any more.
    #[must_use]
    pub fn stop_ends_at(&self) -> Option<Instant> {
        let kill_at = |worker: &Worker| match worker.phase {
            Phase::Draining { kill_at } => Some(kill_at),
            _ => None,
        };
        self.workers.iter().filter_map(kill_at).max().filter(|_| self.stopping)
    }

    /// Why the last start failed.
    #[must_use]
    pub fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// Whether a worker is missing and there is room for one.
    fn may_start(&self) -> bool {
        !self.stopping
            && self.workers.len() < MOST_ALIVE
            && !self.workers.iter().any(Worker::is_heir)
    }

    /// Starts the worker that is missing, if it is time.
    fn replace_missing(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if !self.workers.iter().any(|worker| worker.phase == Phase::Ready) {
            // A leak's pace is kept while its worker serves; without one, connections wait.
            self.leaks.wait_at_most(now + LONGEST_GAP);
        }
        if !self.may_start() || self.next_start().is_some_and(|start| now < start) {
            return;
        }
        self.backoff.started();
        self.leaks.started();
        let generation = self.next_generation;
        self.next_generation += 1;
        let predecessor = self.workers.last().map(|worker| worker.generation);
        self.workers.push(Worker::new(generation, now, &self.settings));
        actions.push(Action::Spawn { generation, predecessor });
    }

    /// Ends the row of crashes when a worker has served long enough.
    fn reset_failures(&mut self, now: Instant) {
        for worker in &mut self.workers {
            let old = now >= worker.started_at + self.settings.stable_after;
            if worker.phase == Phase::Ready && old && !worker.stable {
                worker.stable = true;
                self.backoff.reset_failures();
                if worker.is_heir() {
                    self.leaks.reset_failures();
                }
            }
        }
    }

    /// The supervisor did not run for a while: proofs are due from now on.
    fn excuse(&mut self, now: Instant) {
        self.accept.clear();
        for worker in &mut self.workers {
            worker.health.begin(now);
        }
    }

    /// What [`Action::Changed`] is about: states, not figures.
    fn outline(&self) -> Outline {
        let workers = self.workers.iter().map(|worker| {
            let reason = worker.decision.as_ref().map(|decision| decision.reason);
            (worker.generation, worker.pid, worker.state(), reason)
        });
        (self.state(), workers.collect(), self.next_start(), self.last_error.is_some())
    }
}

type Outline = (State, Vec<(u64, u32, WorkerState, Option<Reason>)>, Option<Instant>, bool);
