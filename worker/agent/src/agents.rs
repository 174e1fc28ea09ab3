//! The handle of the queue of turns.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};
use tokio_util::task::TaskTracker;

use crate::{
    Generation,
    blobs::remove_unused,
    facts,
    queue::{Claimer, Ping},
    state::QueueState,
    watch::Watcher,
};
use evonic_domain::TurnId;
use evonic_model::Models;
use evonic_shared::{config, error_chain::ErrorChain};
use evonic_store::Store;
use evonic_tools::Toolboxes;

/// The other crates' parts that turns use. Shared by cloning.
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
    /// Calls of models that may be open at once: `budget.model`.
    pub model_handles: u32,
    /// Files of workplaces that may be open at once: `budget.file`.
    pub file_handles: u32,
    /// How long a content is kept that was uploaded and not attached.
    pub keep_unused: Duration,
}

/// The running queue. Shared by cloning. The generation's lock is held until the last clone is
/// gone.
#[derive(Clone, Debug)]
pub struct Agents {
    shared: Arc<QueueState>,
    store: Store,
    pings: mpsc::Sender<Ping>,
    tracker: TaskTracker,
}

/// Pings that may wait; more wait to be sent.
const PINGS: usize = 4;

/// The end of a drain's time, kept for handing over what can be repeated.
const HAND_OVER_TIME: Duration = Duration::from_millis(500);

/// How long the store may take after a drain, at the least.
const RETIRE_TIME: Duration = Duration::from_millis(200);

impl Agents {
    /// Starts the queue workers and the watcher of other generations' turns. While a predecessor
    /// may live, the database is looked at every 50 ms for what it handed over or cancelled.
    ///
    /// # Panics
    /// Outside a runtime.
    #[must_use]
    pub fn start(deps: AgentDeps, generation: Generation, predecessor: Option<u64>) -> Self {
        let shared = Arc::new(QueueState::new(generation));
        let tracker = TaskTracker::new();
        let (pings, asked) = mpsc::channel(PINGS);
        let watcher = Watcher::new(Arc::clone(&shared), deps.clone(), tracker.clone(), predecessor);
        tracker.spawn(watcher.run());
        let store = deps.store.clone();
        let drain = shared.drain.clone();
        tracker.spawn(facts::keep(store.clone(), deps.models.clone(), drain));
        let (began, drain) = (Arc::clone(&shared.uploads_began), shared.drain.clone());
        tracker.spawn(remove_unused(store.clone(), deps.keep_unused, began, drain));
        let claimer = Claimer::new(Arc::clone(&shared), deps, asked);
        let drained = shared.drained.clone();
        tracker.spawn(async move {
            claimer.run().await;
            drained.cancel();
        });
        Self { shared, store, pings, tracker }
    }

    /// Says that a turn was queued.
    pub fn wake(&self) {
        self.shared.wake.notify_one();
    }

    /// Says that something is uploaded, which nobody may ever attach.
    pub fn uploads_began(&self) {
        self.shared.uploads_began.notify_one();
    }

    /// Stops a turn of this worker: its model call and its command's whole process tree, within
    /// a second. Of a turn that another worker runs its owner sees the flag in the database; one that
    /// was queued has ended by now, and those behind it can be claimed.
    pub fn cancel(&self, turn: &TurnId) {
        self.shared.running_turns.cancel(turn);
        self.wake();
    }

    /// Says that a predecessor is dead: its turns are taken over at once.
    pub fn predecessor_gone(&self, generation: u64) {
        self.shared.report_dead(generation);
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
        self.shared.running_turns.len()
    }

    /// Stops claiming, and hands each running turn over: at once when it is in a command, which
    /// runs on; else at its next step boundary, or shortly before `timeout` is over when it can
    /// be repeated. What is left stays owned, for the successor to take over when this process is
    /// dead. Returns how many were handed over and how many are left.
    pub async fn drain(&self, timeout: Duration) -> (usize, usize) {
        let deadline = Instant::now() + timeout;
        let margin = HAND_OVER_TIME.min(timeout / 2);
        self.shared.drain.cancel();
        self.tracker.close();
        if timeout_at(deadline - margin, self.tracker.wait()).await.is_err() {
            self.shared.abandon.cancel();
            // What is left when this is over too is counted below.
            let _ = timeout_at(deadline, self.tracker.wait()).await;
        }
        if self.tracker.is_empty() {
            self.retire(deadline).await;
        }
        let left = self.running() + self.shared.still_owned.load(Ordering::Relaxed);
        (self.shared.handed_over.load(Ordering::Relaxed), left)
    }

    /// Says in the database that nothing runs here any more: what this worker still owns is not
    /// counted against the turn.
    async fn retire(&self, deadline: Instant) {
        let number = self.shared.generation.number();
        let retiring = self.store.write(move |writer| writer.retire_generation(number));
        let deadline = deadline.max(Instant::now() + RETIRE_TIME);
        match timeout_at(deadline, retiring).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let error = ErrorChain(&error).to_string();
                tracing::warn!(error, "nobody will know that this worker drained");
            }
            Err(_) => tracing::warn!("nobody will know in time that this worker drained"),
        }
    }
}
