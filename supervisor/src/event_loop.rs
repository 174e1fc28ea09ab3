//! The thread that decides: turns the world into the policy's events, and executes its actions.
//!
//! A turn serves the workers first (exits, control messages, signals, deadlines), then looks at
//! itself, takes the census of a worker that became ready and hands over what is to be written, and
//! only then serves status clients, a bounded number of requests. So no client delays an action, and
//! a disk none at all.
//!
//! | Module | What it holds |
//! |---|---|
//! | `actions` | the policy's actions, executed |
//! | `control` | control messages of workers |
//! | `exits` | signals and exits |
//! | `requests` | requests of status clients |
//! | `self_check` | tampering with the supervisor itself, put back |
//! | `status` | the status |

mod actions;
mod control;
mod exits;
mod requests;
mod resumptions;
mod self_check;
mod status;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use evonic_shared::{
    config::Config, control::MAX_PACKET_BYTES, exit::ExitCode, reason::Reason, status::PostMortem,
    timestamp::rfc3339,
};
use nix::sys::{
    signal::Signal,
    signalfd::{SfdFlags, SignalFd},
};

use self::resumptions::Resumptions;
use crate::{
    clients::{Clients, TokenHolder},
    clock::Clock,
    config_source::ConfigSource,
    disk::Disk,
    history::History,
    integrity::{Deviation, Folders, Integrity, Observed, Restarter},
    notify::Notify,
    policy::{Action, Event, Instant, Policy, Settings},
    poller::{EventFlags, Poller, Token},
    sockets::Sockets,
    sys::{self, KernelError},
    terminal::Terminal,
    worker::{Launch, WorkerHandles},
};

/// The running supervisor.
#[derive(Debug)]
pub struct EventLoop {
    /// Zero of every [`Instant`].
    clock: Clock,
    /// RFC 3339.
    started_at: String,
    /// For a reload.
    source: ConfigSource,
    config: Config,
    policy: Policy,
    poller: Poller,
    signals: SignalFd,
    sockets: Sockets,
    launch: Launch,
    /// Not reaped yet; two at most.
    workers: Vec<WorkerHandles>,
    next_serial: u64,
    history: History,
    disk: Disk,
    folders: Folders,
    integrity: Integrity,
    /// Found since the last check.
    deviations: Vec<Deviation>,
    token: TokenHolder,
    clients: Clients,
    notify: Notify,
    /// Receives the packets of all control channels. Zeroed by the kernel, and resident only up to
    /// the longest one.
    scratch: Vec<u8>,
    /// Generations whose baseline census is due.
    pending_censuses: Vec<u64>,
    /// Taken and not on disk yet.
    post_mortems: VecDeque<PostMortem>,
    /// Workers with a post-mortem, until their exit is recorded.
    examined: Vec<(u64, Reason)>,
    terminal: Terminal,
    run_state: RunState,
    /// When the first signal to stop came, and which.
    stopped_by: Option<(Instant, Signal)>,
    resumptions: Resumptions,
    /// How often each signal came that is no message to the supervisor.
    passed_over: BTreeMap<u32, u32>,
    /// How it ends when it is stopped.
    exit_code: ExitCode,
}

/// What the start made for the loop.
#[derive(Debug)]
pub struct Prepared {
    pub sockets: Sockets,
    pub history: History,
    pub disk: Disk,
    pub folders: Folders,
    pub token: TokenHolder,
    pub notify: Notify,
    pub terminal: Terminal,
}

/// What a stop waits for a disk that does not answer.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether the loop keeps running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RunState {
    Running,
    Stopping,
    Stopped,
}

impl EventLoop {
    /// [`sys::messages`] must be blocked already. Starts nothing. Returns the policy's first actions, too.
    pub fn new(
        clock: Clock,
        source: ConfigSource,
        (config, launch): (Config, Launch),
        prepared: Prepared,
    ) -> Result<(Self, Vec<Action>), KernelError> {
        let Prepared { sockets, history, disk, folders, token, notify, terminal } = prepared;
        let began = Observed::read(&folders).map_err(KernelError::new("look at itself"))?;
        let restarter = if notify.is_connected() { Restarter::Systemd } else { Restarter::Nobody };
        let poller = Poller::open().map_err(KernelError::new("watch anything"))?;
        let signals =
            SignalFd::with_flags(&sys::messages(), SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
                .map_err(KernelError::new("watch signals"))?;
        poller
            .watch(&signals, Token::Signals, EventFlags::IN)
            .map_err(KernelError::new("watch signals"))?;
        let listener =
            sockets.status.try_clone().map_err(KernelError::new("watch the status socket"))?;
        let clients =
            Clients::new(listener, &poller).map_err(KernelError::new("watch the status socket"))?;
        let next = history.generation.saturating_add(1);
        let (policy, first) = Policy::new(Settings::from(&config), next, fastrand::u64(..));
        let event_loop = Self {
            clock,
            started_at: rfc3339(clock.wall(Duration::ZERO)),
            source,
            config,
            policy,
            poller,
            signals,
            sockets,
            launch,
            workers: Vec::with_capacity(2),
            next_serial: 0,
            history,
            disk,
            folders,
            integrity: Integrity::new(began, restarter),
            deviations: Vec::new(),
            token,
            clients,
            notify,
            scratch: vec![0; MAX_PACKET_BYTES],
            pending_censuses: Vec::new(),
            post_mortems: VecDeque::new(),
            examined: Vec::new(),
            terminal,
            run_state: RunState::Running,
            stopped_by: None,
            resumptions: Resumptions::default(),
            passed_over: BTreeMap::new(),
            exit_code: ExitCode::Ok,
        };
        Ok((event_loop, first))
    }

    /// Runs until every worker is reaped after a stop.
    pub fn run(mut self, first: Vec<Action>) -> Result<ExitCode, KernelError> {
        let mut ready = Vec::new();
        self.perform(first);
        while self.run_state != RunState::Stopped {
            let timeout = self.timeout();
            self.poller
                .wait(timeout, &mut ready)
                .map_err(KernelError::new("watch the next event"))?;
            self.turn(&ready);
        }
        self.sockets.remove_files();
        self.token.remove();
        if !self.disk.flush(FLUSH_TIMEOUT) {
            tracing::error!("the end of the history is not kept: the disk does not answer");
        }
        tracing::info!("stopped");
        Ok(self.exit_code)
    }

    fn turn(&mut self, ready: &[(Token, EventFlags)]) {
        if self.notify.ping_watchdog(self.clock.now()) {
            self.notify_status();
        }
        // First: that the supervisor was stopped explains what is late.
        if self.policy.is_late(self.clock.now()) {
            self.resume();
        }
        if ready.iter().any(|(token, _)| *token == Token::Signals) {
            self.read_signals();
        }
        for &(token, _) in ready {
            match token {
                Token::Control(serial) => self.read_control(serial),
                Token::Exit(serial) => self.reap(serial),
                Token::Signals | Token::Listener | Token::Client(_) => {}
            }
        }
        if self.policy.deadline().is_some_and(|deadline| deadline <= self.clock.now()) {
            self.feed(Event::Timer);
        }
        self.check_integrity();
        self.take_ready_censuses();
        self.save();
        for &(token, events) in ready {
            let now = self.clock.now();
            match token {
                Token::Listener => self.clients.accept(&self.poller, now),
                Token::Client(serial) => self.clients.ready(&self.poller, serial, events, now),
                Token::Control(_) | Token::Exit(_) | Token::Signals => {}
            }
        }
        self.serve_clients();
    }

    /// Until the policy's, systemd's or a client's next deadline, or until a client's request that is
    /// left over from the last turn may be answered.
    fn timeout(&self) -> Option<Duration> {
        let deadlines = [
            self.policy.deadline(),
            self.notify.deadline(),
            self.clients.due_at(),
            self.clients.expires_at(),
        ];
        let next = deadlines.into_iter().flatten().min()?;
        Some(next.saturating_sub(self.clock.now()))
    }

    /// Steps the policy and executes its actions, until their results ask for no more.
    fn feed(&mut self, event: Event) {
        let actions = self.policy.step(event, self.clock.now());
        self.perform(actions);
    }

    /// It did not run for a while: what it waited for starts anew.
    fn resume(&mut self) {
        let now = self.clock.now();
        for worker in &mut self.workers {
            worker.probe.restart(now);
        }
        self.feed(Event::Resumed);
    }

    fn perform(&mut self, actions: Vec<Action>) {
        let mut answers = VecDeque::new();
        self.execute(actions, &mut answers);
        while let Some(event) = answers.pop_front() {
            let actions = self.policy.step(event, self.clock.now());
            self.execute(actions, &mut answers);
        }
    }

    /// Hands the history and the post-mortems of the last events to the disk.
    fn save(&mut self) {
        self.history.save(&self.disk);
        while let Some(report) = self.post_mortems.pop_front() {
            if !self.disk.keep(report) {
                tracing::error!("post-mortem is not kept: the disk does not answer");
            }
        }
    }

    fn worker_mut(&mut self, generation: u64) -> Option<&mut WorkerHandles> {
        self.workers.iter_mut().find(|worker| worker.generation == generation)
    }
}
