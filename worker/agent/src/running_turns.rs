//! The turns that this worker runs now, and how to stop each.

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use evonic_domain::TurnId;

/// Turns of this worker by id.
#[derive(Debug, Default)]
pub(super) struct RunningTurns {
    turns: Mutex<HashMap<TurnId, CancellationToken>>,
}

impl RunningTurns {
    /// Adds a turn; its cancel fires the returned token.
    pub(super) fn insert(&self, turn: TurnId) -> CancellationToken {
        let cancel = CancellationToken::new();
        self.turns.lock().insert(turn, cancel.clone());
        cancel
    }

    pub(super) fn remove(&self, turn: &TurnId) {
        self.turns.lock().remove(turn);
    }

    /// Cancels a turn, if it is here.
    pub(super) fn cancel(&self, turn: &TurnId) {
        if let Some(cancel) = self.turns.lock().get(turn) {
            cancel.cancel();
        }
    }

    pub(super) fn len(&self) -> usize {
        self.turns.lock().len()
    }

    /// Those that are not cancelled yet.
    pub(super) fn uncancelled(&self) -> Vec<TurnId> {
        let turns = self.turns.lock();
        let open = turns.iter().filter(|(_, cancel)| !cancel.is_cancelled());
        open.map(|(turn, _)| turn.clone()).collect()
    }
}
