//! What an endpoint says of its window, and of what a conversation takes of it, asked before what is
//! sent of a longer one is chosen.

use std::{future::Future, ops::ControlFlow};

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
        let learnt = model.find_window(&self.signals.stop);
        self.signals.unless_it_ends(learnt).await.map_continue(drop)
    }

    /// Has an endpoint that counts tokens do so, before anything is left out of what is sent: an
    /// estimate may be too high. Returns whether the estimate is another one now. Breaks off where the turn
    /// must end or the worker drains.
    pub(super) async fn count_what_is_sent(&mut self, model: &Model) -> ControlFlow<(), bool> {
        if self.fitting.is_counted {
            return ControlFlow::Continue(false);
        }
        self.fitting.is_counted = true;
        let request = self.request();
        let count = model.count_tokens(&request, &self.signals.stop);
        let counted = self.signals.unless_it_ends(count).await?;
        if let Some(tokens) = counted {
            self.context.count(tokens, self.fixed_tokens);
        }
        ControlFlow::Continue(counted.is_some())
    }
}

impl Signals {
    async fn unless_it_ends<T>(&self, question: impl Future<Output = T>) -> ControlFlow<(), T> {
        let answer = tokio::select! {
            biased;
            () = self.drain.cancelled() => return ControlFlow::Break(()),
            answer = question => answer,
        };
        match self.stop.is_cancelled() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(answer),
        }
    }
}
