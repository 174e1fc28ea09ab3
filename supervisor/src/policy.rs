//! What to do: a pure function of state, event and time.
//!
//! `Policy::step(event, now) -> actions` knows no clock, no descriptor and no process. The event
//! loop turns the world into [`Event`]s, executes [`Action`]s in order, and sleeps until
//! [`Policy::deadline`].
//!
//! At most two workers live at once. At most one of them is the *incumbent*: it starts or serves,
//! and no decision is made against it. One rule starts workers: whenever there is no incumbent and
//! fewer than two workers, one is started, at once or when the backoff is over. Replacements,
//! restarts after crashes and queued requests all follow from it.
//!
//! ```text
//!             Spawned            Ready, after Hello
//!  spawning ----------> starting ------------------> ready
//!     |                  |    |                        |  drained: its replacement is ready, or
//!     | SpawnFailed      |    | past the ceiling;      |  start_timeout after a leak was found;
//!     v                  |    | Stop; drains           |  at once: ceiling, unhealthy, Stop, or it
//!  recorded              |    | by itself              |  drains by itself
//!     ^   start_timeout, |    |                        |
//!     |  incredible Hello|    +------> draining <------+
//!     |                  v               |   |
//!     |               killed <-----------+   |
//!     |                  |      grace over   |
//!     +------------------+-------------------+------ Exited: reaped, from any state
//! ```
//!
//! | Event | starting | ready | draining | killed |
//! |---|---|---|---|---|
//! | `Hello` | takes its generation, and later proposals are above; one below the proposed or more than 2^32 above: kill, crash | - | - | - |
//! | `Ready` | after hello: serves; a predecessor that serves is drained; census, count for the baseline | - | - | - |
//! | `Heartbeat` | count | count; parts are late from here | count | - |
//! | `HighDescriptor` | count | count | - | - |
//! | count at `fd.threshold`, or two counts above `fd.unexplained` | - | post-mortem, spawn; drained when the replacement is ready, or after `start_timeout` | - | - |
//! | count at `fd.ceiling` | post-mortem, drain; delayed as a crash | post-mortem, drain, spawn | - | - |
//! | `start_timeout` over | kill; crash | a leak that waits for its replacement is drained | - | - |
//! | part late, accept queue stalled, probe failed twice | - | post-mortem, drain, spawn | - | - |
//! | `Draining` without a decision | crash; drain | crash, drain, spawn | - | - |
//! | `SpawnFailed` | crash | - | - | - |
//! | `Failed` | kept, as the words of its exit | kept | - | - |
//! | `Exited` | crash; backoff; spawn | crash, unless it was decided; spawn | record; notify the other | record; notify the other |
//! | grace over | - | - | kill | - |
//! | `Restart` | nothing: it is the answer | spawn; drained when the replacement is ready | - | - |
//! | `Reload` | replaced as soon as it is ready | spawn; drained when the replacement is ready | - | - |
//! | `Stop` | drain | drain | goes on | goes on |
//! | `ShortenStop`, after `Stop` | - | - | told again, with two seconds of grace at most | goes on |
//!
//! The states of the status are read off the workers: `stopping`; `crash_loop` after
//! `crash_loop_after` crashes in a row without a ready incumbent; `starting` until a worker was
//! ready once; `leak_loop` after as many early leaks in a row; `running` when the only worker is a
//! ready incumbent; else `recycling`.
//!
//! What the table leaves open:
//!
//! - **Spawning.** A worker that is spawning is asked nothing. What comes meanwhile (`Stop`, an
//!   exit of which it must be notified) is done when `Spawned` answers.
//! - **Urgency.** `requested` < `fd_unexplained`, `fd_threshold` < `fd_ceiling`, `unhealthy`. Only
//!   a more urgent finding replaces a decision; the record has the later one. One post-mortem is
//!   taken of each worker, at the first finding.
//! - **A part is late** when its last proof is older than `heartbeat_timeout`. The accept queue is
//!   **stalled** when no poll found it shorter for `accept_stall`.
//! - **A replacement that fails to start** counts as a crash. A leaking worker is drained all the
//!   same, `start_timeout` after the decision, because it still leaks. One that is replaced by
//!   request keeps serving: a configuration that cannot start interrupts no service.
//!   [`Policy::last_error`] has the cause, and who waits for the request's outcome is answered.
//! - **Two restarts** are one while the first is under way: the worker that starts is new to both.
//!   A worker that starts during a reload may have read the old configuration, so it is replaced
//!   when it is ready, or when it fails: one more replacement is queued, never two. Either cancels a
//!   backoff.
//! - **A third worker** is never started: a serving worker that must go while its predecessor still
//!   drains is replaced when the predecessor is dead, at most `grace` later. Meanwhile connections
//!   wait in the held queue.
//! - **Crashes in a row** end when a ready worker has lived for `stable_after`. Replacements for
//!   leaks and by request are no crashes. There is no delay after the first crash, then up to
//!   `backoff_base`, doubled up to `backoff_cap`, a random part of it.
//! - **Early leaks** are those of workers younger than `stable_after`. They have a backoff of their
//!   own: the replacement's start waits, and the leaking worker serves until it is ready. Past the
//!   ceiling, or dead, it cannot serve, and the wait is a second at most. They end when a worker
//!   lives for `stable_after` and does not leak.
//! - **A late step** and `Resumed` prove that the supervisor did not run; every deadline starts anew
//!   then: of proofs, of the accept queue, of a start, of a grace.

use std::time::Duration;

use evonic_shared::{
    config::{Config, Fd, Supervisor},
    reason::Reason,
    status::Exit,
};

mod accept;
mod action;
mod backoff;
mod count_schedule;
mod decisions;
mod due;
mod event;
mod growth;
mod health;
mod messages;
#[cfg(test)]
mod tests;
mod transitions;
mod view;
mod worker;

pub use action::{Action, Record};
pub use event::Event;
pub use transitions::is_credible;

pub use worker::Worker;

use self::{accept::AcceptQueue, backoff::RestartBackoff, worker::Phase};

/// Time since the supervisor's start: the event loop's monotonic clock, the tests' virtual one.
pub type Instant = Duration;

/// Workers alive at once.
const MAX_WORKERS: usize = 2;

/// A step that comes later than this after its deadline proves that the supervisor itself did not
/// run: it was stopped, frozen or starved, and no worker is blamed for what it could not receive.
const MAX_LATENESS: Duration = Duration::from_secs(1);

/// The longest delay after a leak while no worker serves: connections wait in the held queue.
const MAX_GAP: Duration = Duration::from_secs(1);

/// The grace of a stop that hurries: enough to hand over turns and to close the database.
const SHORT_GRACE: Duration = Duration::from_secs(2);

/// The part of the configuration that the policy needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub fd: Fd,
    pub supervisor: Supervisor,
}

impl From<&Config> for Settings {
    fn from(config: &Config) -> Self {
        Self { fd: config.fd.clone(), supervisor: config.supervisor.clone() }
    }
}

/// The supervisor's state machine.
#[derive(Debug)]
pub struct Policy {
    settings: Settings,
    /// Every worker alive, the oldest first; at most one of them is the incumbent.
    workers: Vec<Worker>,
    /// Above every earlier generation.
    next_generation: u64,
    crashes: RestartBackoff,
    /// Of workers younger than `stable_after`.
    leaks: RestartBackoff,
    accept: AcceptQueue,
    /// A worker was ready once.
    has_served: bool,
    stopping: bool,
    /// The stop is to end soon.
    shortened: bool,
    ended: bool,
    last_error: Option<String>,
    /// The time of the step.
    now: Instant,
    /// What the step asks for.
    actions: Vec<Action>,
}

impl Policy {
    /// A policy without a worker, and the first actions. `next_generation` is above every earlier
    /// one; `seed` is of the jitter.
    #[must_use]
    pub fn new(settings: Settings, next_generation: u64, seed: u64) -> (Self, Vec<Action>) {
        let mut policy = Self {
            settings,
            workers: Vec::with_capacity(MAX_WORKERS),
            next_generation,
            crashes: RestartBackoff::new(seed),
            leaks: RestartBackoff::new(!seed),
            accept: AcceptQueue::default(),
            has_served: false,
            stopping: false,
            shortened: false,
            ended: false,
            last_error: None,
            now: Instant::ZERO,
            actions: Vec::new(),
        };
        policy.replace_missing();
        policy.actions.push(Action::Changed);
        let actions = std::mem::take(&mut policy.actions);
        (policy, actions)
    }

    /// Takes an event and returns the actions. `now` never goes back.
    #[must_use]
    pub fn step(&mut self, event: Event, now: Instant) -> Vec<Action> {
        if self.ended {
            return Vec::new();
        }
        self.now = now;
        let before = self.outline();
        if self.is_late(now) {
            self.restart_deadlines();
        }
        self.reset_failures();
        self.handle(event);
        self.handle_due();
        self.replace_missing();
        if self.outline() != before {
            self.actions.push(Action::Changed);
        }
        if self.stopping && self.workers.is_empty() {
            self.ended = true;
            self.actions.push(Action::Exit);
        }
        std::mem::take(&mut self.actions)
    }

    /// Whether a step at this time is so late that the supervisor cannot have run meanwhile.
    pub fn is_late(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|deadline| now > deadline + MAX_LATENESS)
    }

    /// When to send [`Event::Timer`] at the latest: the next count, grace, start timeout, late
    /// heartbeat, backoff. Each heartbeat moves it, so that an idle pair sleeps until the next
    /// heartbeat. [`None`] when nothing is awaited.
    ///
    /// Always later than the `now` of the last step, so a loop that sleeps until then and sends
    /// [`Event::Timer`] never spins. The loop reads channels first: a heartbeat that waits in a
    /// socket is not late.
    pub fn deadline(&self) -> Option<Instant> {
        let workers = self.workers.iter().filter_map(|worker| worker.due_at(&self.settings));
        workers.chain(self.next_start()).chain(self.accept.poll_at()).min()
    }

    /// When the next start is due, during a backoff.
    pub fn next_start(&self) -> Option<Instant> {
        let start = self.crashes.next_start.max(self.leaks.next_start);
        start.filter(|_| self.lacks_worker())
    }

    /// When the last grace ends during a stop; [`None`] before, and when no worker drains.
    pub fn stop_ends_at(&self) -> Option<Instant> {
        let kill_at = |worker: &Worker| match worker.phase {
            Phase::Draining { kill_at } => Some(kill_at),
            _ => None,
        };
        self.workers.iter().filter_map(kill_at).max().filter(|_| self.stopping)
    }

    /// Why the last start failed.
    pub fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    fn lacks_worker(&self) -> bool {
        !self.stopping
            && self.workers.len() < MAX_WORKERS
            && !self.workers.iter().any(Worker::is_incumbent)
    }

    /// Starts a missing worker when the backoff is over.
    fn replace_missing(&mut self) {
        if !self.workers.iter().any(|worker| worker.phase == Phase::Ready) {
            // Without a serving worker connections wait, so a leak's delay is bounded.
            self.leaks.wait_at_most(self.now + MAX_GAP);
        }
        if !self.lacks_worker() || self.next_start().is_some_and(|start| self.now < start) {
            return;
        }
        self.start_now();
        let generation = self.next_generation;
        self.next_generation += 1;
        let predecessor = self.workers.last().map(|worker| worker.generation);
        self.workers.push(Worker::new(generation, self.now, &self.settings));
        self.actions.push(Action::Spawn { generation, predecessor });
    }

    /// Ends the series of crashes and leaks when a worker has lived long enough.
    fn reset_failures(&mut self) {
        for worker in &mut self.workers {
            let old = self.now >= worker.started_at + self.settings.supervisor.stable_after;
            if worker.phase == Phase::Ready && old && !worker.stable {
                worker.stable = true;
                self.crashes.failures = 0;
                if worker.is_incumbent() {
                    self.leaks.failures = 0;
                }
            }
        }
    }

    /// After the supervisor did not run for a while.
    fn restart_deadlines(&mut self) {
        // Connections that came meanwhile wait for a worker that may wake later.
        self.accept.suspend_until(self.now + self.settings.supervisor.heartbeat_timeout);
        let grace = self.grace();
        for worker in &mut self.workers {
            worker.restart_deadlines(self.now, grace);
        }
    }
}
