//! The worker's end of the control channel: a plain thread that hears a drain and sends
//! heartbeats whatever the runtime does.
//!
//! ```text
//!                 ready                drain, SIGTERM, SIGINT, end of the channel
//! listening ---------------> beating -------------------------------------------> ending
//!     |                                                                             ^
//!     +-----------------------------------------------------------------------------+
//! ```
//!
//! Before each heartbeat the parts are called to prove themselves; it is sent when all have
//! answered, or after [`PROOF_TIME`] with the age of what is missing. An ending worker sends no
//! heartbeats: the supervisor counts its time, not its liveness. The first end sets the watchdog and
//! begins the drain; a later one can only bring them forward.

use std::{
    collections::BTreeMap,
    io,
    os::fd::AsFd,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use evonic_process::channel::{Channel, Received};
use evonic_shared::{
    control::{FromWorker, MAX_PACKET_BYTES, ToWorker},
    exit::ExitCode,
    reason::Reason,
};
use nix::sys::{
    signal::Signal,
    signalfd::{SfdFlags, SignalFd},
};
use rustix::event::{PollFd, PollFlags, Timespec};
use tokio::sync::mpsc;

use super::{
    liveness::Liveness, shutdown_budget::ShutdownBudget, signals::signals, watchdog::Watchdog,
};
use evonic_handles::{Waker, Wakeups};
use evonic_http::Supervision;
use evonic_store::{Condition, Storage};
use evonic_workplace::{End, ProbedLevel};

/// How long a heartbeat waits for its proofs; half the interval where that is less.
const PROOF_TIME: Duration = Duration::from_millis(250);

/// A heartbeat that is later than this after its time proves that the worker did not run: its parts
/// are asked again before their age is told.
const MAX_LATENESS: Duration = Duration::from_secs(1);

/// How long a worker without a supervisor may take to drain.
const ORPHAN_GRACE: Duration = Duration::from_secs(5);

/// An order for the main thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Drain and end.
    End {
        /// `drain (fd_threshold)`, `SIGTERM`, `supervisor lost`.
        why: String,
        /// Until SIGKILL.
        grace: Duration,
        /// Whether a successor continues with what is there. Only the supervisor can say that none
        /// does: a signal or its death may mean either, and what is kept can still go later.
        end: End,
    },
    /// The worker of this generation is dead.
    PredecessorGone(u64),
}

/// Orders that may wait. There is at most one predecessor, and a few reasons to end.
pub(super) const ORDERS: usize = 8;

/// What the control thread works with.
#[derive(Debug)]
pub(super) struct Control {
    /// The channel.
    pub(super) channel: Arc<Channel>,
    /// Wakes the thread.
    pub(super) waker: Waker,
    /// What the thread waits for beside the channel.
    pub(super) wakeups: Wakeups,
    /// The parts' proofs.
    pub(super) liveness: Arc<Liveness>,
    /// What ends the process when its drain does not.
    pub(super) watchdog: Arc<Watchdog>,
    /// Where orders go.
    pub(super) orders: mpsc::Sender<Order>,
    /// Where the supervisor's metrics go.
    pub(super) supervision: Supervision,
    /// `supervisor.heartbeat_interval`.
    pub(super) interval: Duration,
    /// `supervisor.grace`: for an end by signal, which does not say how long.
    pub(super) grace: Duration,
}

/// The running control thread.
#[derive(Debug)]
pub(super) struct ControlThread {
    waker: Waker,
    stage: Arc<Stage>,
    thread: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Stage {
    /// Of a worker that is ready.
    sandbox: OnceLock<ProbedLevel>,
    database: OnceLock<Condition>,
    storage: OnceLock<Storage>,
    over: AtomicBool,
}

impl ControlThread {
    /// Starts the thread. [`signals`] are blocked in every thread by now.
    ///
    /// # Errors
    /// The OS error when the thread or its signalfd cannot be had.
    pub(super) fn start(control: Control) -> io::Result<Self> {
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let signals = SignalFd::with_flags(&signals(), flags)?;
        let (waker, stage) = (control.waker.clone(), Arc::new(Stage::default()));
        let listener = Listener {
            control,
            signals,
            stage: Arc::clone(&stage),
            next_round: None,
            proofs_due: None,
            sequence: 0,
            passed_over: BTreeMap::new(),
            ending: false,
        };
        let thread = thread::Builder::new().name("control".to_owned()).spawn(|| listener.run())?;
        Ok(Self { waker, stage, thread })
    }

    /// Heartbeats may begin. They tell of the sandbox, once it is known, of what is wrong with the
    /// database, and of its size.
    pub(super) fn ready(&self, sandbox: ProbedLevel, database: Condition, storage: Storage) {
        let _first = self.stage.database.set(database);
        let _first = self.stage.storage.set(storage);
        let _first = self.stage.sandbox.set(sandbox);
        self.waker.wake();
    }

    /// Ends the thread and waits for it.
    pub(super) fn end(self) {
        self.stage.over.store(true, Ordering::SeqCst);
        self.waker.wake();
        // A panic of it was printed by then, and there is nothing left to save.
        let _ = self.thread.join();
    }
}

/// The thread's own state.
struct Listener {
    control: Control,
    signals: SignalFd,
    stage: Arc<Stage>,
    /// When the next round of proofs begins.
    next_round: Option<Instant>,
    /// When the heartbeat goes out although proofs are missing, while a round is open.
    proofs_due: Option<Instant>,
    sequence: u64,
    /// How often each signal came that is no message to the worker.
    passed_over: BTreeMap<Signal, u32>,
    ending: bool,
}

impl Listener {
    fn run(mut self) {
        let mut lost = false;
        while !self.stage.over.load(Ordering::SeqCst) {
            self.wait(lost);
            self.control.wakeups.clear();
            // The supervisor first: it says why and how long, the signal that follows does not.
            if !lost {
                lost = self.receive_messages();
            }
            self.receive_signals();
            if !self.ending {
                self.send_heartbeat(Instant::now());
            }
        }
    }

    /// Waits for a signal, a message, a wake, or the next thing to do.
    fn wait(&self, lost: bool) {
        let due = self.proofs_due.into_iter().chain(self.next_round).min();
        let timeout = due.filter(|_| !self.ending).map(|due| {
            let left = due.saturating_duration_since(Instant::now());
            // A timer that is a fraction too early would turn into a busy loop.
            Timespec::try_from(left + Duration::from_micros(500)).unwrap_or(LONGEST_WAIT)
        });
        let signals = self.signals.as_fd();
        let mut wanted = vec![
            PollFd::new(&signals, PollFlags::IN),
            PollFd::new(&self.control.wakeups, PollFlags::IN),
        ];
        if !lost {
            wanted.push(PollFd::new(&self.control.channel.socket, PollFlags::IN));
        }
        // An interrupted wait is as good as one that ended: everything is asked for anew.
        let _ = rustix::event::poll(&mut wanted, timeout.as_ref());
    }

    fn receive_signals(&mut self) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            let signal = i32::try_from(info.ssi_signo).ok().and_then(|n| Signal::try_from(n).ok());
            match signal {
                // The kernel does not count the time of a stop for a wait that goes on after it: a
                // heartbeat that was due would come as much later as there was left to wait.
                Some(Signal::SIGCONT) => self.begin_round(Instant::now()),
                Some(signal @ (Signal::SIGTERM | Signal::SIGINT | Signal::SIGQUIT)) => {
                    let grace = self.control.grace;
                    let why = signal.as_str().to_owned();
                    self.end(why, grace, End::Recycled, ExitCode::Watchdog);
                }
                Some(signal) => self.pass_over(signal),
                // Only those of the set are read.
                None => {}
            }
        }
    }

    /// A signal that is no message to the worker, and would end it.
    fn pass_over(&mut self, signal: Signal) {
        let times = self.passed_over.entry(signal).or_default();
        *times = times.saturating_add(1);
        // Somebody may send one in a loop.
        if times.is_power_of_two() {
            tracing::warn!(signal = signal.as_str(), "signal is passed over");
        }
    }

    /// Reads what the supervisor says. Returns whether it is gone.
    fn receive_messages(&mut self) -> bool {
        let mut buffer = [0; MAX_PACKET_BYTES];
        loop {
            match self.control.channel.receive(&mut buffer) {
                Received::Nothing => return false,
                Received::Closed => {
                    let grace = ORPHAN_GRACE.min(self.control.grace);
                    let why = "supervisor lost".to_owned();
                    self.end(why, grace, End::Recycled, ExitCode::Orphaned);
                    return true;
                }
                Received::Message(ToWorker::Drain { reason, grace_ms }) => {
                    let grace = Duration::from_millis(grace_ms);
                    let end = if reason == Reason::Stop { End::Stopped } else { End::Recycled };
                    self.end(format!("drain ({reason})"), grace, end, ExitCode::Watchdog);
                }
                Received::Message(ToWorker::PredecessorGone { generation }) => {
                    self.order(Order::PredecessorGone(generation));
                }
                Received::Message(ToWorker::Metrics(metrics)) => {
                    self.control.supervision.update(metrics);
                }
                Received::Refused(error) => {
                    tracing::error!(%error, "supervisor sent what is no message");
                }
            }
        }
    }

    fn end(&mut self, why: String, grace: Duration, end: End, code: ExitCode) {
        // Without a supervisor there is no SIGKILL to leave time for.
        let after = match code {
            ExitCode::Orphaned => grace,
            _ => ShutdownBudget::of(grace).watchdog,
        };
        self.control.watchdog.arm(Instant::now() + after, code);
        self.ending = true;
        self.order(Order::End { why, grace, end });
    }

    fn order(&self, order: Order) {
        if let Err(error) = self.control.orders.try_send(order) {
            // The watchdog is armed for an end that is not heard, and the watcher tries the
            // predecessor's lock by itself.
            tracing::error!(%error, "main thread takes no orders");
        }
    }

    /// After the process did not run: asks the parts anew, once heartbeats have begun.
    fn begin_round(&mut self, now: Instant) {
        self.proofs_due = None;
        self.next_round = self.next_round.map(|next| next.min(now));
    }

    /// Calls for proofs and sends the heartbeat, each when it is time.
    fn send_heartbeat(&mut self, now: Instant) {
        if self.next_round.is_none() && self.stage.sandbox.get().is_some() {
            self.next_round = Some(now);
        }
        if self.proofs_due.is_some_and(|due| now > due + MAX_LATENESS) {
            self.begin_round(now);
        }
        if self.proofs_due.is_none() && self.next_round.is_some_and(|next| next <= now) {
            self.control.liveness.call();
            let interval = self.control.interval;
            self.proofs_due = Some(now + PROOF_TIME.min(interval / 2));
            self.next_round = Some(now + interval);
        }
        let late = self.proofs_due.is_some_and(|due| due <= now);
        if late || (self.proofs_due.is_some() && self.control.liveness.is_complete()) {
            self.proofs_due = None;
            self.sequence += 1;
            let (sequence, age_ms) = (self.sequence, self.control.liveness.ages());
            let sandbox = self.stage.sandbox.get().and_then(ProbedLevel::get);
            let sandbox = sandbox.map(|level| level.name().to_owned());
            let database = self.stage.database.get().and_then(Condition::report);
            let storage = self.stage.storage.get().and_then(Storage::report);
            let heartbeat = FromWorker::Heartbeat { sequence, age_ms, sandbox, database, storage };
            match self.control.channel.send(&heartbeat) {
                Ok(()) => self.control.supervision.heartbeat_sent(),
                Err(error) => tracing::warn!(%error, sequence, "heartbeat not sent"),
            }
        }
    }
}

/// Stands in for a wait that does not fit the kernel's type.
const LONGEST_WAIT: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

#[cfg(test)]
mod tests;
