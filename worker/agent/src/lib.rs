//! Turns as durable state machines.
//!
//! A bounded number of queue workers claim turns from the store; each model reply, tool call and
//! tool result is committed before the next step starts. Ownership is a kernel lock that dies
//! with the process: one locked file per generation in `STATE_DIR/generations`.

mod background;
mod commit;
mod gather;
mod job;
mod ownership;
mod queue;
mod roster;
mod step;
mod turn;
mod watch;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use evonic_shared::config;
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::{Instant, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use ownership::{Generation, OwnershipError};

use self::{
    background::Background,
    queue::{Claimer, Ping},
    roster::Roster,
    turn::Left,
    watch::Watcher,
};
use evonic_domain::TurnId;
use evonic_model::Models;
use evonic_store::Store;
use evonic_tools::Toolboxes;

/// What turns are run with.
#[derive(Clone, Debug)]
pub struct AgentDeps {
    /// The database.
    pub store: Store,
    /// The models.
    pub models: Models,
    /// The tools.
    pub tools: Toolboxes,
    /// `[agents]`.
    pub settings: config::Agents,
}

/// The running queue. Shared by cloning. The generation's lock is held until the last clone is
/// gone.
#[derive(Clone, Debug)]
pub struct Agents {
    shared: Arc<Shared>,
    pings: mpsc::Sender<Ping>,
    tracker: TaskTracker,
}

/// What the queue's parts share.
#[derive(Debug)]
struct Shared {
    generation: Generation,
    roster: Roster,
    /// The queue should be looked at.
    wake: Notify,
    /// Generations that somebody called dead.
    gone: Mutex<BTreeSet<u64>>,
    gone_named: Notify,
    /// Nothing is claimed any more, no turn takes another step, and calls that somebody else can
    /// go on with are handed over as they are.
    drain: CancellationToken,
    /// Patience is nearly over: what can be repeated is handed over as it is.
    let_go: CancellationToken,
    /// No turn runs any more, and none will.
    drained: CancellationToken,
    handed_over: AtomicUsize,
    /// Turns that are still owned although nothing runs them any more.
    kept: AtomicUsize,
}

/// Pings that may wait; more wait to be sent.
const PINGS: usize = 4;

/// At the end of a drain's patience, what is left of it for handing over model calls.
const HAND_OVER_TIME: Duration = Duration::from_millis(500);

impl Agents {
    /// Starts the queue workers and the watcher of other generations' turns. While a predecessor
    /// may live, the database is looked at every 50 ms for what it handed over or cancelled.
    ///
    /// # Panics
    /// Outside a runtime.
    #[must_use]
    pub fn start(bench: AgentDeps, generation: Generation, predecessor: Option<u64>) -> Self {
        let shared = Arc::new(Shared::new(generation));
        let tracker = TaskTracker::new();
        let (pings, asked) = mpsc::channel(PINGS);
        let background = Background::new(tracker.clone());
        let watcher = Watcher::new(Arc::clone(&shared), bench.clone(), background, predecessor);
        tracker.spawn(watcher.run());
        let claimer = Claimer::new(Arc::clone(&shared), bench, asked);
        let drained = shared.drained.clone();
        tracker.spawn(async move {
            claimer.run().await;
            drained.cancel();
        });
        Self { shared, pings, tracker }
    }

    /// Says that a turn was queued.
    pub fn wake(&self) {
        self.shared.wake.notify_one();
    }

    /// Stops a turn of this worker: its model call and its command's whole process tree, within
    /// a second. Does nothing for a turn that this worker does not run; its owner sees the flag in
    /// the database.
    pub fn cancel(&self, turn: &TurnId) {
        self.shared.roster.cancel(turn);
    }

    /// Says that a predecessor is dead: its turns are taken over at once.
    pub fn predecessor_gone(&self, generation: u64) {
        self.shared.gone().insert(generation);
        self.shared.gone_named.notify_one();
    }

    /// A round trip through the queue's claimer: the part's proof of life. Never returns when the
    /// claimer is dead before its time. Cancel safe.
    pub async fn ping(&self) {
        let (ping, answer) = oneshot::channel();
        if self.pings.send(ping).await.is_ok() && answer.await.is_ok() {
            return;
        }
        self.shared.drained.cancelled().await;
    }

    /// Turns this worker runs now.
    #[must_use]
    pub fn running(&self) -> usize {
        self.shared.roster.len()
    }

    /// Stops claiming, and hands each running turn over: at once when it is in a command, which
    /// runs on; else at its next step boundary, or shortly before `patience` is over when it can
    /// be repeated. What is left stays owned, for the successor to take over when this process is
    /// dead. Returns how many were handed over and how many are left.
    pub async fn drain(&self, patience: Duration) -> (usize, usize) {
        let deadline = Instant::now() + patience;
        let margin = HAND_OVER_TIME.min(patience / 2);
        self.shared.drain.cancel();
        self.tracker.close();
        if timeout_at(deadline - margin, self.tracker.wait()).await.is_err() {
            self.shared.let_go.cancel();
            // What is left when this is over too is counted below.
            let _ = timeout_at(deadline, self.tracker.wait()).await;
        }
        let left = self.running() + self.shared.kept.load(Ordering::Relaxed);
        (self.shared.handed_over.load(Ordering::Relaxed), left)
    }
}

impl Shared {
    fn new(generation: Generation) -> Self {
        Self {
            generation,
            roster: Roster::default(),
            wake: Notify::new(),
            gone: Mutex::default(),
            gone_named: Notify::new(),
            drain: CancellationToken::new(),
            let_go: CancellationToken::new(),
            drained: CancellationToken::new(),
            handed_over: AtomicUsize::new(0),
            kept: AtomicUsize::new(0),
        }
    }

    /// Waits for generations that somebody called dead. Cancel safe.
    async fn named(&self) -> BTreeSet<u64> {
        loop {
            let gone = std::mem::take(&mut *self.gone());
            if !gone.is_empty() {
                return gone;
            }
            self.gone_named.notified().await;
        }
    }

    /// Counts a turn out.
    fn left(&self, turn: &TurnId, left: Left) {
        match left {
            Left::Ended | Left::Fenced => {}
            Left::HandedOver => _ = self.handed_over.fetch_add(1, Ordering::Relaxed),
            Left::Kept => _ = self.kept.fetch_add(1, Ordering::Relaxed),
        }
        self.roster.strike(turn);
    }

    /// A set cannot be left half-changed by what is done under its lock.
    fn gone(&self) -> std::sync::MutexGuard<'_, BTreeSet<u64>> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the locks of generations are.
#[must_use]
pub fn generations_folder(state_dir: &Path) -> PathBuf {
    state_dir.join("generations")
}

#[cfg(test)]
mod tests;
