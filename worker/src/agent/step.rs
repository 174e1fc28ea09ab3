//! What a turn does next: a pure function of where it stands.

use crate::{
    domain::{Item, ToolCall},
    store::PendingCall,
    tools::Effect,
};

/// Where a turn stands at a step boundary.
#[derive(Clone, Debug)]
pub(super) struct Standing<'a> {
    /// Its transcript, after that of every earlier turn of its session.
    pub(super) transcript: &'a [Item],
    /// A call that was started and has no result: its worker died.
    pub(super) interrupted: Option<&'a PendingCall>,
    /// What the interrupted call's tool does to the world, where the tool is known.
    pub(super) effect: Option<Effect>,
    /// Whether a client asked to cancel the turn.
    pub(super) cancelled: bool,
    /// Whether the worker drains.
    pub(super) draining: bool,
    /// How often the model may reply.
    pub(super) max_steps: u32,
}

/// The next step of a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Answer this interrupted call: it may have changed something, and nobody knows.
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
/// An interrupted change is answered before anything else, so that what is left of it is killed
/// however the turn goes on. A draining worker starts nothing, not even what is short.
pub(super) fn next_step(standing: &Standing<'_>) -> Step {
    let turn = own_part(standing.transcript);
    match (standing.interrupted, standing.effect) {
        // What an unknown tool does is unknown too.
        (Some(pending), Some(Effect::Change) | None) => return Step::Settle(pending.clone()),
        (Some(_), Some(Effect::Read)) | (None, _) => {}
    }
    if standing.cancelled {
        return Step::Cancel;
    }
    if let Some(Item::Assistant { text, tool_calls, .. }) = turn.last()
        && tool_calls.is_empty()
    {
        return Step::Complete { text: text.clone() };
    }
    if standing.draining {
        return Step::HandOver;
    }
    if let Some(call) = unanswered(standing.transcript).first() {
        return Step::Call(call.clone());
    }
    let replies = turn.iter().filter(|item| matches!(item, Item::Assistant { .. })).count();
    if replies < standing.max_steps as usize { Step::Ask } else { Step::TooManySteps }
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
