//! Whether there is any budget: where there is none, no call of a model asks the writer.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

/// What is known of whether there are budgets. Shared by cloning. The writer's thread alone learns
/// it; whatever may have changed it makes it forget.
#[derive(Clone, Debug, Default)]
pub(crate) struct BudgetPresence(Arc<AtomicU8>);

const UNKNOWN: u8 = 0;
const NONE: u8 = 1;
const SOME: u8 = 2;

impl BudgetPresence {
    /// Whether it is known that there is none.
    pub(crate) fn is_none(&self) -> bool {
        self.0.load(Ordering::SeqCst) == NONE
    }

    /// What was just read.
    pub(super) fn learn(&self, some: bool) {
        self.0.store(if some { SOME } else { NONE }, Ordering::SeqCst);
    }

    /// Another process, this transaction, or the end of one that was lost may have changed it.
    pub(crate) fn forget(&self) {
        self.0.store(UNKNOWN, Ordering::SeqCst);
    }
}
