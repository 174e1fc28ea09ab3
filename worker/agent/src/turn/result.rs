//! Results of calls: what the loop guard says of them, and their commit.

use std::ops::ControlFlow;

use super::{Flow, Run, RunOutcome, Shown, messages};
use crate::repeats::LoopGuard;
use evonic_domain::{Item, ToolCall, TurnEnd, TurnError};
use evonic_model::Model;
use evonic_tools::ToolResult;

/// A call's result, and the turn's end where the call was made too often.
#[derive(Debug)]
pub(super) struct Guarded {
    result: ToolResult,
    failed: Option<TurnError>,
}

impl Run {
    /// Commits a call's result, after the last of its output, and remembers it; where `failed` is
    /// given, or the call was made too often, with the turn's end.
    pub(super) async fn finish(
        &mut self,
        call: ToolCall,
        result: ToolResult,
        last: Shown,
        failed: Option<TurnError>,
    ) -> Flow {
        let result = self.guarded(&call, result);
        let (item, left) = self.commit_result(call, result, last, failed).await?;
        self.interrupted = None;
        self.remember(item);
        left.map_or(ControlFlow::Continue(()), ControlFlow::Break)
    }

    /// The loop guard, as what is stored of the turn makes it; none where nothing is counted.
    pub(super) async fn load_guard(&mut self) -> Flow {
        // A runbook repeats what it is written to repeat.
        let is_plan = matches!(self.deps.models.get(&self.agent.model), Some(Model::Runbook(_)));
        if self.deps.settings.max_repeats == 0 || is_plan {
            return ControlFlow::Continue(());
        }
        let read = self.turn_writer.read(|reader, lease| {
            let mut guard = LoopGuard::default();
            reader.turn_items(&lease.turn_id, |item| guard.take(&item))?;
            Ok(guard)
        });
        match read.await {
            Ok(guard) => self.guard = Some(guard),
            Err(gave_up) => return ControlFlow::Break(self.give_up(gave_up).await),
        }
        ControlFlow::Continue(())
    }

    /// A call's result, with what the loop guard says of it.
    pub(super) fn guarded(&mut self, call: &ToolCall, result: ToolResult) -> Guarded {
        guarded(self.guard.as_mut(), self.deps.settings.max_repeats, call, result)
    }

    /// Commits a call's result, with the turn's end where it fails with it. Returns what is to be
    /// remembered, and how the turn left, if it did.
    pub(super) async fn commit_result(
        &self,
        call: ToolCall,
        guarded: Guarded,
        last: Shown,
        failed: Option<TurnError>,
    ) -> Flow<(Item, Option<RunOutcome>)> {
        let Guarded { result: ToolResult { outcome, content }, failed: repeated } = guarded;
        let failed = failed.or(repeated).filter(|_| !self.signals.stop.is_cancelled());
        let item = Item::ToolResult {
            call_id: call.id.clone(),
            name: call.name.clone(),
            outcome,
            content: content.clone(),
        };
        let left = failed.as_ref().map(|_| RunOutcome::Ended);
        if let Some(error) = &failed {
            tracing::warn!(code = error.code.name(), reason = error.message, "turn failed");
        }
        let finish = self.commit(move |writer, lease| {
            last.write(writer, lease, &call.id)?;
            writer.finish_call(lease, &call, outcome, content.clone())?;
            if let Some(error) = &failed {
                writer.end_turn(lease, TurnEnd::Failed(error.clone()))?;
            }
            Ok(())
        });
        finish.await?;
        ControlFlow::Continue((item, left))
    }
}

/// A call's result, with what this guard says of it, where a call may be made `most` times.
pub(super) fn guarded(
    guard: Option<&mut LoopGuard>,
    most: u32,
    call: &ToolCall,
    mut result: ToolResult,
) -> Guarded {
    let Some(guard) = guard else { return Guarded { result, failed: None } };
    let repeats = guard.count(call, result.outcome, &result.content);
    result.content.extend(repeats.note());
    let failed =
        repeats.are_too_many(most).then(|| messages::repeated_calls(&call.name, repeats.times()));
    Guarded { result, failed }
}
