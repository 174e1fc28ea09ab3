//! A call whose outcome cannot be known.

use std::ops::ControlFlow;

use evonic_shared::config::Lost;

use super::{Flow, Run, RunOutcome, Shown, command_id, messages};
use evonic_domain::{Effect, Ending, Outcome};
use evonic_store::PendingCall;
use evonic_tools::{Loss, ToolResult};

impl Run {
    /// The outcome of a call cannot be known: what follows is the operator's policy.
    pub(super) async fn lost(&mut self, pending: PendingCall, loss: Loss, last: Shown) -> Flow {
        let spec = self.spec(&pending.call.name);
        let effect = spec.map_or(Effect::Change, |spec| spec.effect);
        let policy = self.deps.tools.registry().on_lost(&pending.call.name);
        tracing::warn!(
            call_id = pending.call.id,
            command_id = pending.command_id,
            reason = loss.why,
            ?policy,
            "outcome of a call is unknown"
        );
        // An effect is repeated once at most; what only reads, or continues, as often as it takes.
        let harmless =
            effect == Effect::Read || spec.is_some_and(|spec| spec.ending == Ending::GoesOn);
        let may = !loss.runs_on
            && !self.signals.stop.is_cancelled()
            && (harmless || pending.repeated.is_none());
        if policy == Lost::Retry && may {
            let again = PendingCall {
                command_id: command_id(),
                output_offset: 0,
                repeated: Some(loss.why),
                ..pending.clone()
            };
            (self.again, self.interrupted) = (Some(again), Some(pending));
            return ControlFlow::Continue(());
        }
        let content = messages::unknown_outcome(&loss, &pending.command_id, effect);
        let result =
            with_rerun_note(&pending, effect, ToolResult { outcome: Outcome::Unknown, content });
        let failed = (policy == Lost::Fail && !self.signals.stop.is_cancelled())
            .then(|| messages::outcome_unknown(&pending.call.name, &loss.why));
        let PendingCall { call, command_id, workplace, .. } = pending;
        let toolbox = self.toolbox(&workplace).await;
        let flow = self.finish(call, result, last, failed).await;
        let committed =
            matches!(flow, ControlFlow::Continue(()) | ControlFlow::Break(RunOutcome::Ended));
        if committed
            && !loss.runs_on
            && let Ok(toolbox) = toolbox
        {
            toolbox.forget(&command_id);
        }
        flow
    }
}

/// The result of a call, which says so when its effect was tried a second time.
pub(super) fn with_rerun_note(
    pending: &PendingCall,
    effect: Effect,
    mut result: ToolResult,
) -> ToolResult {
    if let Some(why) = pending.repeated.as_ref().filter(|_| effect == Effect::Change) {
        if !result.content.ends_with('\n') {
            result.content.push('\n');
        }
        result.content.push_str(&messages::ran_twice(&pending.call.name, why));
    }
    result
}
