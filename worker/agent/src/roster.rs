//! The turns that this worker runs now, and how to stop each.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use tokio_util::sync::CancellationToken;

use evonic_domain::TurnId;

/// Turns of this worker by id.
#[derive(Debug, Default)]
pub(super) struct Roster {
    turns: Mutex<HashMap<TurnId, CancellationToken>>,
}

impl Roster {
    /// Enters a turn; its cancel fires the returned token.
    pub(super) fn enter(&self, turn: TurnId) -> CancellationToken {
        let cancel = CancellationToken::new();
        self.lock().insert(turn, cancel.clone());
        cancel
    }

    /// Strikes a turn off.
    pub(super) fn strike(&self, turn: &TurnId) {
        self.lock().remove(turn);
    }

    /// Cancels a turn, if it is here.
    pub(super) fn cancel(&self, turn: &TurnId) {
        if let Some(cancel) = self.lock().get(turn) {
            cancel.cancel();
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Which are not cancelled yet.
    pub(super) fn uncancelled(&self) -> Vec<TurnId> {
        let turns = self.lock();
        let open = turns.iter().filter(|(_, cancel)| !cancel.is_cancelled());
        open.map(|(turn, _)| turn.clone()).collect()
    }

    /// Nothing that is done under the lock can leave the map half-changed.
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<TurnId, CancellationToken>> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
