//! What a turn does next: a pure function of its snapshot.

use evonic_domain::{Item, ToolCall};
use evonic_store::PendingCall;
use evonic_tools::Effect;

/// A turn at a step boundary.
#[derive(Clone, Debug)]
pub(super) struct TurnSnapshot<'a> {
    /// What is sent of its session: the last items are its own.
    pub(super) transcript: &'a [Item],
    /// A call that was started and has no result: its worker died, or handed it over.
    pub(super) interrupted: Option<&'a PendingCall>,
    /// What the interrupted call's tool does to the world, where the tool is known.
    pub(super) effect: Option<Effect>,
    /// Why the turn must end, if it must.
    pub(super) stop: Option<Stop>,
    /// Whether the worker drains.
    pub(super) draining: bool,
    /// Replies of the turn, also those that are not in its transcript any more.
    pub(super) replies: u32,
    /// Whether it has no message, and compacts its session.
    pub(super) compacts: bool,
    /// How often the model may reply.
    pub(super) max_steps: u32,
}

/// Why a turn must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// A client asked to cancel it.
    Cancelled,
    /// It has run for as long as it may.
    OutOfTime,
}

/// The next step of a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Go on with this interrupted call: follow its command, or find out what it did.
    Resume(PendingCall),
    /// Answer this interrupted call without another try: its tool is gone.
    Settle(PendingCall),
    /// End the turn.
    Stop(Stop),
    /// Leave the turn to the successor.
    HandOver,
    /// Run this call.
    Call(ToolCall),
    /// Ask the model for the next reply, once what is sent fits.
    Ask,
    /// Compact the session, or end the turn where there is no more to compact.
    Compact,
    /// The last reply asks for nothing: end the turn with it.
    Complete {
        /// The answer.
        text: String,
    },
    /// End the turn as failed: the model has replied as often as it may.
    TooManySteps,
}

/// Decides the next step.
///
/// An interrupted change is seen to before a turn that must end does, so that what is left of it is
/// killed. A draining worker starts nothing, not even what is short.
pub(super) fn next_step(snapshot: &TurnSnapshot<'_>) -> Step {
    if let Some(pending) = snapshot.interrupted {
        let reads = snapshot.effect == Some(Effect::Read);
        return match (snapshot.stop, snapshot.effect) {
            (None, _) if snapshot.draining => Step::HandOver,
            (Some(stop), _) if reads => Step::Stop(stop),
            (_, Some(_)) => Step::Resume(pending.clone()),
            (_, None) => Step::Settle(pending.clone()),
        };
    }
    if let Some(stop) = snapshot.stop {
        return Step::Stop(stop);
    }
    if snapshot.compacts {
        return if snapshot.draining { Step::HandOver } else { Step::Compact };
    }
    if let Some(Item::Assistant { text, tool_calls, .. }) = snapshot.transcript.last()
        && tool_calls.is_empty()
    {
        return Step::Complete { text: text.clone() };
    }
    if snapshot.draining {
        return Step::HandOver;
    }
    if let Some(call) = unanswered(snapshot.transcript).first() {
        return Step::Call(call.clone());
    }
    if snapshot.replies < snapshot.max_steps { Step::Ask } else { Step::TooManySteps }
}

/// The calls of the last reply that have no result, in order. Results come in the order of their
/// calls, also where calls run side by side.
pub(super) fn unanswered(transcript: &[Item]) -> &[ToolCall] {
    let mut results = 0;
    for item in transcript.iter().rev() {
        match item {
            Item::ToolResult { .. } => results += 1,
            Item::Assistant { tool_calls, .. } => {
                return tool_calls.get(results..).unwrap_or_default();
            }
            Item::User { .. } | Item::Summary { .. } | Item::LeftOut { .. } => break,
        }
    }
    &[]
}

#[cfg(test)]
mod tests;
