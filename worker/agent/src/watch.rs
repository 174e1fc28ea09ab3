//! The watcher of other generations: takes over what dead workers left, and notices what living
//! ones did in the database.
//!
//! ```text
//!               a rival is reported or found
//! asleep ------------------------------------> every 50 ms: locks tried, database looked at
//!   ^  ^                                          |
//!   |  +---- the last rival is dead, taken over --+
//!   |
//!   +-- draining: the successor may cancel a turn: every 100 ms, until the queue is empty
//! ```

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio_util::task::TaskTracker;

use crate::{AgentDeps, Generation, state::QueueState};
use evonic_shared::error_chain::ErrorChain;
use evonic_store::{StoreError, TakenTurn};

/// Between two looks while a rival may live.
const RIVAL_PAUSE: Duration = Duration::from_millis(50);
/// Between two looks while this worker drains.
const DRAIN_PAUSE: Duration = Duration::from_millis(100);

/// Why a look failed: of the lock files, or of the store.
type WatchError = Box<dyn std::error::Error + Send + Sync>;

/// Watches the other generations.
#[derive(Debug)]
pub(super) struct Watcher {
    shared: Arc<QueueState>,
    deps: AgentDeps,
    /// Runs the calls of the file system, one at a time; a drain waits for it.
    tracker: TaskTracker,
    /// Generations that may live, or own turns not known to be dead yet.
    rivals: BTreeSet<u64>,
    /// Whether the folder and the database were asked for rivals.
    surveyed: bool,
    /// Whether the last look failed: a failure is logged once, not at every look.
    failing: bool,
}

impl Watcher {
    pub(super) fn new(
        shared: Arc<QueueState>,
        deps: AgentDeps,
        tracker: TaskTracker,
        predecessor: Option<u64>,
    ) -> Self {
        let rivals = predecessor.into_iter().collect();
        Self { shared, deps, tracker, rivals, surveyed: false, failing: false }
    }

    /// Watches until the queue is empty for good.
    pub(super) async fn run(mut self) {
        let (drain, drained) = (self.shared.drain.clone(), self.shared.drained.clone());
        loop {
            self.look().await;
            let draining = drain.is_cancelled();
            tokio::select! {
                () = drained.cancelled() => return,
                () = drain.cancelled(), if !draining => {}
                dead = self.shared.reported_dead() => self.rivals.extend(dead),
                () = self.pause(draining) => {}
            }
        }
    }

    async fn pause(&self, draining: bool) {
        if draining {
            tokio::time::sleep(DRAIN_PAUSE).await;
        } else if !self.rivals.is_empty() || !self.surveyed {
            tokio::time::sleep(RIVAL_PAUSE).await;
        } else {
            std::future::pending().await
        }
    }

    /// Looks once at everything. What fails is tried again at the next look, which comes because
    /// the rival, or the survey, is still open.
    async fn look(&mut self) {
        let outcome = self.try_look().await;
        if let Err(error) = &outcome
            && !self.failing
        {
            let error = ErrorChain(error.as_ref());
            tracing::warn!(%error, "other generations cannot be watched; trying again");
        }
        self.failing = outcome.is_err();
    }

    async fn try_look(&mut self) -> Result<(), WatchError> {
        if !self.surveyed {
            self.survey().await?;
            self.surveyed = true;
        }
        self.poll_foreign_commits().await?;
        for rival in self.rivals.clone() {
            if self.try_take_over(rival).await? {
                self.rivals.remove(&rival);
            }
        }
        Ok(())
    }

    /// Finds every other generation that lives or owns turns.
    async fn survey(&mut self) -> Result<(), WatchError> {
        let (folder, own) = (self.shared.generation.folder().to_path_buf(), self.own());
        let living = self.tracker.spawn_blocking(move || Generation::living(&folder, own));
        self.rivals.extend(living.await??);
        let owners = self.deps.store.read(move |reader| reader.foreign_owners(own));
        self.rivals.extend(owners.await?);
        Ok(())
    }

    /// Notices what another process wrote: turns it queued or handed over, cancels of turns here.
    async fn poll_foreign_commits(&self) -> Result<(), WatchError> {
        let changed = match self.deps.store.poll_foreign_commits().await {
            Err(StoreError::Closed) => return Ok(()),
            polled => polled?,
        };
        if !changed {
            return Ok(());
        }
        self.shared.wake.notify_one();
        let turns = self.shared.running_turns.uncancelled();
        if !turns.is_empty() {
            let cancels = self.deps.store.read(move |reader| reader.cancels(&turns));
            for turn in cancels.await? {
                self.shared.running_turns.cancel(&turn);
            }
        }
        Ok(())
    }

    /// Takes over a rival's turns if it is dead: only the kernel's lock says so. Returns
    /// whether that is done.
    async fn try_take_over(&self, rival: u64) -> Result<bool, WatchError> {
        let folder = self.shared.generation.folder().to_path_buf();
        let dead = self.tracker.spawn_blocking(move || Generation::is_dead(&folder, rival));
        if !dead.await?? {
            return Ok(false);
        }
        let taken = self.deps.store.write(move |writer| writer.take_over(rival)).await?;
        for TakenTurn { turn_id, takeovers } in taken {
            let turn_id = turn_id.as_str();
            tracing::info!(rival, turn_id, takeovers, "took over a dead worker's turn");
        }
        self.shared.wake.notify_one();
        Ok(true)
    }

    fn own(&self) -> u64 {
        self.shared.generation.number()
    }
}
