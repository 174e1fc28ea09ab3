//! Results of calls: what the loop guard says of them, and their commit.

use std::ops::ControlFlow;

use super::{Flow, Run, RunOutcome, Shown, messages};
use crate::{repeats, step::own_part};
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
        let result = self.guarded(&[], &call, result);
        let (item, left) = self.commit_result(call, result, last, failed).await?;
        self.interrupted = None;
        self.remember(item);
        left.map_or(ControlFlow::Continue(()), ControlFlow::Break)
    }

    /// A call's result, with what the loop guard says of it after `done`, which is committed and
    /// not remembered yet.
    pub(super) fn guarded(
        &self,
        done: &[Item],
        call: &ToolCall,
        mut result: ToolResult,
    ) -> Guarded {
        let most = self.deps.settings.max_repeats;
        // A runbook repeats what it is written to repeat.
        let is_plan = matches!(self.deps.models.get(&self.agent.model), Some(Model::Runbook(_)));
        if most == 0 || is_plan {
            return Guarded { result, failed: None };
        }
        let before = own_part(&self.transcript, self.output.corrections()).iter().chain(done);
        let repeats = repeats::count(before, call, result.outcome, &result.content);
        result.content.extend(repeats.note());
        let failed = repeats
            .are_too_many(most)
            .then(|| messages::repeated_calls(&call.name, repeats.times()));
        Guarded { result, failed }
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
