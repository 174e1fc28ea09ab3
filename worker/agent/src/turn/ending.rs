//! How a turn leaves this worker, and what becomes of it when the store does not take a write.

use std::{ops::ControlFlow, time::Duration};

use super::{Flow, Run, RunOutcome, messages};
use crate::turn_writer::GaveUp;
use evonic_domain::{Lease, TurnEnd, TurnError};
use evonic_shared::error_chain::ErrorChain;
use evonic_store::{StoreError, Writer};

/// Between two attempts to end a turn for which the store is broken.
const BROKEN_PAUSE: Duration = Duration::from_secs(15);

impl Run {
    /// Hands the turn over: at a step boundary, in a model call, which can be repeated, or in a
    /// call that another worker can continue.
    pub(super) async fn hand_over(&self) -> Flow {
        self.commit(|writer, lease| writer.hand_over(lease)).await?;
        ControlFlow::Break(RunOutcome::HandedOver)
    }

    /// Ends the turn as failed.
    pub(super) async fn fail(&self, error: TurnError) -> RunOutcome {
        tracing::warn!(code = error.code.name(), reason = error.message, "turn failed");
        self.end(TurnEnd::Failed(error)).await
    }

    /// Ends the turn. The store answers the calls that did not run.
    pub(super) async fn end(&self, end: TurnEnd) -> RunOutcome {
        match self.try_end(end).await {
            Ok(()) => RunOutcome::Ended,
            Err(gave_up) => self.give_up(gave_up).await,
        }
    }

    async fn try_end(&self, end: TurnEnd) -> Result<(), GaveUp> {
        self.turn_writer.commit(move |writer, lease| writer.end_turn(lease, end.clone())).await
    }

    /// Commits a write of this turn; leaves the turn when that is given up.
    pub(super) async fn commit<T, F>(&self, write: F) -> Flow<T>
    where
        T: Send + 'static,
        F: Fn(&mut Writer<'_>, &Lease) -> Result<T, StoreError> + Send + Sync + 'static,
    {
        match self.turn_writer.commit(write).await {
            Ok(value) => ControlFlow::Continue(value),
            Err(gave_up) => ControlFlow::Break(self.give_up(gave_up).await),
        }
    }

    /// What becomes of the turn when a write is given up. A store that broke in the middle of it
    /// may take its end, now or later: until then the turn is this worker's, and nothing waits for
    /// its replacement.
    pub(super) async fn give_up(&self, gave_up: GaveUp) -> RunOutcome {
        let error = match gave_up {
            GaveUp::Fenced => return RunOutcome::Fenced,
            GaveUp::Abandoned => return RunOutcome::StillOwned,
            GaveUp::Broken(error) => ErrorChain(&error).to_string(),
        };
        tracing::error!(error, "store is broken for this turn");
        let end = TurnEnd::Failed(messages::internal(error));
        loop {
            match self.try_end(end.clone()).await {
                Ok(()) => return RunOutcome::Ended,
                Err(GaveUp::Fenced) => return RunOutcome::Fenced,
                Err(GaveUp::Abandoned) => return RunOutcome::StillOwned,
                Err(GaveUp::Broken(_)) => {}
            }
            tokio::select! {
                () = self.signals.abandon.cancelled() => return RunOutcome::StillOwned,
                () = tokio::time::sleep(BROKEN_PAUSE) => {}
            }
        }
    }
}
