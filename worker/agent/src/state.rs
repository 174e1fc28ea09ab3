//! What the parts of the queue share.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{ownership::Generation, running_turns::RunningTurns, turn::RunOutcome};
use evonic_domain::TurnId;

/// What the queue, its turns and the watcher share.
#[derive(Debug)]
pub(super) struct QueueState {
    pub(super) generation: Generation,
    pub(super) running_turns: RunningTurns,
    /// The queue should be looked at.
    pub(super) wake: Notify,
    /// Something is uploaded.
    pub(super) uploads_began: Arc<Notify>,
    /// Generations that are reported dead.
    dead: Mutex<BTreeSet<u64>>,
    death_reported: Notify,
    /// Nothing is claimed any more, no turn takes another step, and calls that another worker
    /// can continue are handed over as they are.
    pub(super) drain: CancellationToken,
    /// The time to drain is nearly over: what can be repeated is handed over as it is.
    pub(super) abandon: CancellationToken,
    /// No turn runs any more, and none will.
    pub(super) drained: CancellationToken,
    pub(super) handed_over: AtomicUsize,
    /// Turns that are still owned although nothing runs them any more.
    pub(super) still_owned: AtomicUsize,
}

impl QueueState {
    pub(super) fn new(generation: Generation) -> Self {
        Self {
            generation,
            running_turns: RunningTurns::default(),
            wake: Notify::new(),
            uploads_began: Arc::default(),
            dead: Mutex::default(),
            death_reported: Notify::new(),
            drain: CancellationToken::new(),
            abandon: CancellationToken::new(),
            drained: CancellationToken::new(),
            handed_over: AtomicUsize::new(0),
            still_owned: AtomicUsize::new(0),
        }
    }

    /// Records that a generation is dead, for [`QueueState::reported_dead`].
    pub(super) fn report_dead(&self, generation: u64) {
        self.dead.lock().insert(generation);
        self.death_reported.notify_one();
    }

    /// Waits for generations that are reported dead. Cancel safe.
    pub(super) async fn reported_dead(&self) -> BTreeSet<u64> {
        loop {
            let dead = std::mem::take(&mut *self.dead.lock());
            if !dead.is_empty() {
                return dead;
            }
            self.death_reported.notified().await;
        }
    }

    /// Counts a turn that this worker does not run any more.
    pub(super) fn left(&self, turn: &TurnId, outcome: RunOutcome) {
        match outcome {
            RunOutcome::Ended | RunOutcome::Waits | RunOutcome::Fenced => {}
            RunOutcome::HandedOver => _ = self.handed_over.fetch_add(1, Ordering::Relaxed),
            RunOutcome::StillOwned => _ = self.still_owned.fetch_add(1, Ordering::Relaxed),
        }
        self.running_turns.remove(turn);
    }
}
