//! Whether the next call of a model is allowed.

use std::ops::ControlFlow;

use super::{Flow, Run, RunOutcome};
use evonic_store::BudgetCheck;

impl Run {
    /// Goes on where every budget of the turn allows another call of a model; else the turn waits
    /// or has ended by now. To be asked before each call, summaries included.
    pub(super) async fn require_budget(&self) -> Flow {
        if !self.deps.store.may_have_budgets() {
            return ControlFlow::Continue(());
        }
        match self.commit(|writer, lease| writer.check_budgets(lease)).await? {
            BudgetCheck::Allowed => ControlFlow::Continue(()),
            BudgetCheck::Waits(waiting) => {
                let (until, reason) = (waiting.until, waiting.message);
                tracing::info!(until, reason, "turn waits");
                ControlFlow::Break(RunOutcome::Waits)
            }
            BudgetCheck::Cancelled => ControlFlow::Break(RunOutcome::Ended),
            BudgetCheck::Ended(error) => {
                tracing::warn!(code = error.code.name(), reason = error.message, "turn failed");
                ControlFlow::Break(RunOutcome::Ended)
            }
        }
    }
}
