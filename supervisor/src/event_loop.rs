//! The one thread: turns the world into the policy's events, and does what it says.
//!
//! A turn looks after the workers first (deaths, words on control channels, signals, deadlines),
//! then takes the census of a worker that became ready and brings to disk what is to be kept, and
//! only then serves status clients, a bounded number of requests. So neither a client nor a disk stands between a trigger and its action.

mod actions;
mod answers;
mod deaths;
mod words;

use std::{collections::VecDeque, time::Duration};

use evonic_shared::{
    config::Config, exit::ExitCode, reason::Reason, status::PostMortem, timestamp::rfc3339,
};
use nix::sys::{
    signal::{SigSet, Signal},
    signalfd::{SfdFlags, SignalFd},
};

use crate::{
    clients::Clients,
    clock::Clock,
    control::Scratch,
    history::History,
    notify::Notify,
    policy::{Event, Policy, Settings},
    poller::{EventFlags, Poller, Token},
    post_mortem,
    sockets::Sockets,
    source::Source,
    status::Sources,
    worker::{Launch, Worker},
};

/// The event loop cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch {what}")]
pub struct LoopError {
    what: &'static str,
    #[source]
    source: std::io::Error,
}

/// What the loop is made of; everything is open already.
#[derive(Debug)]
pub struct Parts {
    /// Zero of all moments.
    pub clock: Clock,
    /// Where the configuration came from, to read it again.
    pub source: Source,
    pub config: Config,
    pub sockets: Sockets,
    /// How workers are started.
    pub launch: Launch,
    /// What happened before.
    pub history: History,
    pub notify: Notify,
}

/// The supervisor at work.
#[derive(Debug)]
pub struct EventLoop {
    clock: Clock,
    /// When it began, by the wall clock: RFC 3339.
    started_at: String,
    source: Source,
    config: Config,
    policy: Policy,
    poller: Poller,
    signals: SignalFd,
    sockets: Sockets,
    launch: Launch,
    /// Workers that are not reaped: two at most.
    crew: Vec<Worker>,
    next_serial: u64,
    history: History,
    clients: Clients,
    notify: Notify,
    scratch: Scratch,
    /// Generations whose census at ready is still to be taken.
    uncounted: Vec<u64>,
    /// Post-mortems that were taken and are not on disk yet.
    unwritten: VecDeque<PostMortem>,
    /// Generations whose post-mortem was taken and whose end is not recorded yet.
    examined: Vec<(u64, Reason)>,
    course: Course,
}

/// Whether the loop goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    On,
    Ending,
    Ended,
}

/// The signals that are read from a descriptor instead of interrupting anything.
#[must_use]
pub fn signals() -> SigSet {
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGCHLD].into_iter().collect()
}

impl EventLoop {
    /// Sets everything up; [`signals`] must be blocked already. Nothing is started yet.
    pub fn new(parts: Parts, policy: Policy) -> Result<Self, LoopError> {
        let fail = |what| move |source| LoopError { what, source };
        let poller = Poller::open().map_err(fail("anything"))?;
        let signals =
            SignalFd::with_flags(&signals(), SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
                .map_err(|errno| fail("signals")(errno.into()))?;
        poller.watch(&signals, Token::Signals, EventFlags::IN).map_err(fail("signals"))?;
        let listener = parts.sockets.status().try_clone().map_err(fail("the status socket"))?;
        let clients = Clients::new(listener, &poller).map_err(fail("the status socket"))?;
        Ok(Self {
            clock: parts.clock,
            started_at: rfc3339(parts.clock.wall(Duration::ZERO)),
            source: parts.source,
            config: parts.config,
            policy,
            poller,
            signals,
            sockets: parts.sockets,
            launch: parts.launch,
            crew: Vec::with_capacity(2),
            next_serial: 0,
            history: parts.history,
            clients,
            notify: parts.notify,
            scratch: Scratch::new(),
            uncounted: Vec::new(),
            unwritten: VecDeque::new(),
            examined: Vec::new(),
            course: Course::On,
        })
    }

    /// Runs until every worker is gone after a stop.
    ///
    /// # Errors
    /// [`LoopError`] when the kernel refuses to wait, which it never should.
    pub fn run(mut self, first: Vec<crate::policy::Action>) -> Result<ExitCode, LoopError> {
        let mut ready = Vec::new();
        self.perform(first);
        while self.course != Course::Ended {
            let timeout = self.timeout();
            self.poller
                .wait(timeout, &mut ready)
                .map_err(|source| LoopError { what: "the next event", source })?;
            self.turn(&ready);
        }
        self.sockets.remove_files();
        tracing::info!("stopped");
        Ok(ExitCode::Ok)
    }

    fn turn(&mut self, ready: &[(Token, EventFlags)]) {
        if self.notify.sign_of_life(self.clock.now()) {
            self.tell_systemd();
        }
        for &(token, _) in ready {
            match token {
                Token::Control(serial) => self.listen(serial),
                Token::Death(serial) => self.bury(serial),
                Token::Signals => self.read_signals(),
                Token::Listener | Token::Client(_) => {}
            }
        }
        if self.policy.deadline().is_some_and(|deadline| deadline <= self.clock.now()) {
            self.feed(Event::Timer);
        }
        self.take_ready_censuses();
        self.write_down();
        for &(token, events) in ready {
            let now = self.clock.now();
            match token {
                Token::Listener => self.clients.accept(&self.poller, now),
                Token::Client(serial) => self.clients.ready(&self.poller, serial, events, now),
                Token::Control(_) | Token::Death(_) | Token::Signals => {}
            }
        }
        self.serve_clients();
    }

    /// Until the policy or systemd expects something; not at all while a client's request is
    /// left over from the last turn.
    fn timeout(&self) -> Option<Duration> {
        if self.clients.has_question() {
            return Some(Duration::ZERO);
        }
        let deadlines = [self.policy.deadline(), self.notify.deadline()];
        let next = deadlines.into_iter().flatten().min()?;
        Some(next.saturating_sub(self.clock.now()))
    }

    /// Tells the policy something, does what it says, and tells it what came of that.
    fn feed(&mut self, event: Event) {
        let actions = self.policy.step(event, self.clock.now());
        self.perform(actions);
    }

    fn perform(&mut self, actions: Vec<crate::policy::Action>) {
        let mut answers = VecDeque::new();
        self.execute(actions, &mut answers);
        while let Some(event) = answers.pop_front() {
            let actions = self.policy.step(event, self.clock.now());
            self.execute(actions, &mut answers);
        }
    }

    /// Brings to disk what the last events left to write.
    fn write_down(&mut self) {
        if let Err(error) = self.history.save() {
            tracing::error!(error = &error as &dyn std::error::Error, "history is not kept");
        }
        while let Some(report) = self.unwritten.pop_front() {
            if let Err(error) = post_mortem::keep(&self.config.state_dir, &report) {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "post-mortem is not kept"
                );
            }
        }
    }

    fn sources(&self) -> Sources<'_> {
        Sources {
            policy: &self.policy,
            crew: &self.crew,
            sockets: &self.sockets,
            history: &self.history,
            lines: &self.config.fd,
            nofile: self.launch.nofile,
            now: self.clock.now(),
        }
    }

    fn worker_mut(&mut self, generation: u64) -> Option<&mut Worker> {
        self.crew.iter_mut().find(|worker| worker.generation == generation)
    }
}

/// The policy's settings, of a configuration.
#[must_use]
pub fn settings(config: &Config) -> Settings {
    Settings {
        threshold: config.fd.threshold,
        ceiling: config.fd.ceiling,
        unexplained: config.fd.unexplained,
        min_interval: config.fd.min_interval,
        max_interval: config.fd.max_interval,
        grace: config.supervisor.grace,
        start_timeout: config.supervisor.start_timeout,
        heartbeat_timeout: config.supervisor.heartbeat_timeout,
        accept_stall: config.supervisor.accept_stall,
        backoff_base: config.supervisor.backoff_base,
        backoff_cap: config.supervisor.backoff_cap,
        stable_after: config.supervisor.stable_after,
        crash_loop_after: config.supervisor.crash_loop_after,
    }
}
