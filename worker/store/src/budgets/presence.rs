//! Whether there is any budget: where there is none, no call of a model asks the writer. And whether
//! budgets changed for more turns than were looked at with the change.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU8, Ordering},
};

/// What is known of whether there are budgets. Shared by cloning. The writer's thread alone learns
/// it; whatever may have changed it makes it forget.
#[derive(Clone, Debug, Default)]
pub(crate) struct BudgetPresence {
    known: Arc<AtomicU8>,
    recheck: Arc<AtomicBool>,
}

const UNKNOWN: u8 = 0;
const NONE: u8 = 1;
const SOME: u8 = 2;

impl BudgetPresence {
    /// Whether it is known that there is none.
    pub(crate) fn is_none(&self) -> bool {
        self.known.load(Ordering::SeqCst) == NONE
    }

    /// What was just read.
    pub(super) fn learn(&self, some: bool) {
        self.known.store(if some { SOME } else { NONE }, Ordering::SeqCst);
    }

    /// Another process, this transaction, or the end of one that was lost may have changed it.
    pub(crate) fn forget(&self) {
        self.known.store(UNKNOWN, Ordering::SeqCst);
    }

    /// Turns that wait for a budget are to be looked at again.
    pub(crate) fn ask_recheck(&self) {
        self.recheck.store(true, Ordering::SeqCst);
    }

    pub(super) fn wants_recheck(&self) -> bool {
        self.recheck.load(Ordering::SeqCst)
    }

    pub(super) fn take_recheck(&self) -> bool {
        self.recheck.swap(false, Ordering::SeqCst)
    }
}
