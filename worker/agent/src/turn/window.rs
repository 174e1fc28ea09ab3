//! What an endpoint says of its window, asked before what is sent of a longer conversation is chosen.

use std::ops::ControlFlow;

use super::{Run, Signals};
use evonic_model::Model;

/// Tokens of a conversation from which on it matters how large the window is.
const ASK_TOKENS: u64 = 500;

impl Run {
    /// Asks the endpoint for its window, where the configuration has not said it, it is due and the
    /// conversation is no short one. Breaks off where the turn must end or the worker drains.
    pub(super) async fn find_window(&self, model: &Model) -> ControlFlow<()> {
        let is_long = self.context.items_tokens() > ASK_TOKENS;
        if !is_long || self.fitting.window.is_some() {
            return ControlFlow::Continue(());
        }
        let Signals { stop, drain, .. } = &self.signals;
        tokio::select! {
            biased;
            () = drain.cancelled() => {}
            _learnt = model.find_window(stop) => {}
        }
        match stop.is_cancelled() || drain.is_cancelled() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}
