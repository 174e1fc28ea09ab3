//! What a turn does next: a pure function of its snapshot.

use evonic_domain::{Item, ToolCall};
use evonic_store::PendingCall;
use evonic_tools::Effect;

/// A turn at a step boundary.
#[derive(Clone, Debug)]
pub(super) struct TurnSnapshot<'a> {
    /// Its transcript, after that of every earlier turn of its session.
    pub(super) transcript: &'a [Item],
    /// A call that was started and has no result: its worker died, or handed it over.
    pub(super) interrupted: Option<&'a PendingCall>,
    /// What the interrupted call's tool does to the world, where the tool is known.
    pub(super) effect: Option<Effect>,
    /// Whether a client asked to cancel the turn.
    pub(super) cancelled: bool,
    /// Whether the worker drains.
    pub(super) draining: bool,
    /// How often the model may reply.
    pub(super) max_steps: u32,
    /// How many workers in a row may die in one call.
    pub(super) max_takeovers: u32,
}

/// The next step of a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Go on with this interrupted call: follow its command, or find out what it did.
    Resume(PendingCall),
    /// Answer this interrupted call without another try: it costs one worker after the other, or
    /// its tool is gone.
    Settle(PendingCall),
    /// End the turn as cancelled.
    Cancel,
    /// Leave the turn to the successor.
    HandOver,
    /// Run this call.
    Call(ToolCall),
    /// Ask the model for the next reply.
    Ask,
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
/// An interrupted change is seen to before a cancelled turn ends, so that what is left of it is
/// killed. A draining worker starts nothing, not even what is short.
pub(super) fn next_step(snapshot: &TurnSnapshot<'_>) -> Step {
    let turn = own_part(snapshot.transcript);
    if let Some(pending) = snapshot.interrupted {
        let reads = snapshot.effect == Some(Effect::Read);
        match snapshot.effect {
            _ if snapshot.draining && !snapshot.cancelled => return Step::HandOver,
            _ if snapshot.cancelled && reads => return Step::Cancel,
            Some(_) if pending.takeovers < snapshot.max_takeovers => {
                return Step::Resume(pending.clone());
            }
            _ => return Step::Settle(pending.clone()),
        }
    }
    if snapshot.cancelled {
        return Step::Cancel;
    }
    if let Some(Item::Assistant { text, tool_calls, .. }) = turn.last()
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
    let replies = turn.iter().filter(|item| matches!(item, Item::Assistant { .. })).count();
    if replies < snapshot.max_steps as usize { Step::Ask } else { Step::TooManySteps }
}

/// The calls of the last reply that have no result, in order. Results come in the order of their
/// calls, because calls run one after the other.
fn unanswered(transcript: &[Item]) -> &[ToolCall] {
    let mut results = 0;
    for item in own_part(transcript).iter().rev() {
        match item {
            Item::ToolResult { .. } => results += 1,
            Item::Assistant { tool_calls, .. } => {
                return tool_calls.get(results..).unwrap_or_default();
            }
            Item::User { .. } => break,
        }
    }
    &[]
}

/// The transcript from the message that began the turn on.
fn own_part(transcript: &[Item]) -> &[Item] {
    let message = transcript.iter().rposition(|item| matches!(item, Item::User { .. }));
    &transcript[message.unwrap_or(0)..]
}

#[cfg(test)]
mod tests;
