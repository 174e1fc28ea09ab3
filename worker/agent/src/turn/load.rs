//! The beginning of a run: what the turn needs is loaded, or the turn is ended without it.

use std::ops::ControlFlow;

use super::{Flow, Run, RunOutcome, messages};
use evonic_domain::{Outcome, TurnEnd, TurnError};
use evonic_store::PendingCall;

impl Run {
    /// Loads what is sent of the turn's session, and whether the turn is cancelled.
    pub(super) async fn load(&mut self) -> Flow {
        // The turn is registered by now: a cancel is either seen here or fires its token.
        let fatal = self.takeovers >= self.deps.settings.max_takeovers;
        let result = self.turn_writer.read(move |reader, lease| {
            let cancels = reader.cancels(std::slice::from_ref(&lease.turn_id))?;
            Ok(!cancels.is_empty())
        });
        let cancelled = match result.await {
            Ok(read) => read,
            Err(gave_up) => return ControlFlow::Break(self.give_up(gave_up).await),
        };
        if cancelled {
            self.signals.cancel.cancel();
        }
        if fatal {
            return self.abort(messages::too_many_takeovers(self.takeovers)).await;
        }
        let (context, items) = self.read_view(None).await?;
        self.take_view(context, items);
        self.load_guard().await
    }

    /// Ends a turn of which nothing is loaded, and then clears what is left of its interrupted
    /// call: the end comes first, because the rest may cost the worker.
    async fn abort(&mut self, error: TurnError) -> Flow {
        let cancelled = self.signals.cancel.is_cancelled();
        let pending = self.interrupted.take();
        let call = pending.as_ref().map(|pending| pending.call.clone());
        let content = messages::aborted_call(&error.message);
        if !cancelled {
            tracing::warn!(code = error.code.name(), reason = error.message, "turn failed");
        }
        let end = if cancelled { TurnEnd::Cancelled } else { TurnEnd::Failed(error) };
        self.commit(move |writer, lease| {
            if let Some(call) = &call {
                writer.finish_call(lease, call, Outcome::Unknown, content.clone())?;
            }
            writer.end_turn(lease, end.clone())
        })
        .await?;
        if let Some(PendingCall { command_id, workplace, .. }) = pending {
            self.clear(&workplace, &command_id).await;
        }
        ControlFlow::Break(RunOutcome::Ended)
    }
}
