//! The event log of a session: what happened, in order, committed before it is sent.

use serde::{Deserialize, Serialize};

use super::{
    Attachment, BudgetReached, CompactionKind, ItemRange, Outcome, Role, SessionId, TurnError,
    TurnId, Usage, Waiting,
};

/// One event.
///
/// Its server-sent form is `id: SEQUENCE`, `event: NAME`, `data: JSON`, where JSON is the exact
/// text that was committed: a resumed stream is byte for byte the one that was cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The session it belongs to.
    pub session_id: SessionId,
    /// From 1, within the session; without gaps, but for what was folded since (`retention.deltas`).
    pub sequence: u64,
    /// The name: the `type` of an [`EventKind`].
    pub name: String,
    /// One line of JSON: `turn_id`, `at`, `type` and an [`EventKind`]'s fields.
    pub data: String,
}

/// What happened. In JSON the field `type` is the event's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum EventKind {
    /// `message.created`: a message was accepted, or the agent's answer stands.
    #[serde(rename = "message.created")]
    MessageCreated {
        message_id: super::MessageId,
        role: Role,
        content: String,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        attachments: Vec<Attachment>,
    },
    /// `turn.started`: a worker took it.
    #[serde(rename = "turn.started")]
    TurnStarted {
        /// The worker's generation.
        generation: u64,
    },
    /// `turn.resumed`: a worker took it over from another one, or goes on with it after a wait.
    #[serde(rename = "turn.resumed")]
    TurnResumed {
        /// The worker's generation.
        generation: u64,
        predecessor: u64,
    },
    /// `turn.waiting`: it left its worker until then, and holds nothing.
    #[serde(rename = "turn.waiting")]
    TurnWaiting { waiting: Waiting },
    /// `turn.handed_over`: its worker is stopping, at a step boundary.
    #[serde(rename = "turn.handed_over")]
    TurnHandedOver {
        /// The worker's generation.
        generation: u64,
    },
    /// `text.delta`: a piece of the model's text, as it comes.
    #[serde(rename = "text.delta")]
    TextDelta { text: String },
    /// `reasoning.delta`: a piece of the model's reasoning, as it comes. It is no part of the reply.
    #[serde(rename = "reasoning.delta")]
    ReasoningDelta { text: String },
    /// `text.retracted`: the pieces since the last `step.completed` are void; the model is asked
    /// again, because its reply was cut or its worker died.
    #[serde(rename = "text.retracted")]
    TextRetracted { reason: String },
    /// `step.completed`: a model reply was committed.
    #[serde(rename = "step.completed")]
    StepCompleted {
        /// Counts from 1 within the turn.
        step: u32,
        /// Its whole text.
        text: String,
        /// Its tokens.
        usage: Usage,
        /// What they cost, in pico-units.
        #[serde(default)]
        cost: u64,
        /// The configured name of the model that made it; empty in events of before.
        #[serde(default)]
        model: String,
    },
    /// `output.refused`: the reply of the last `step.completed` does not fit `response_format`; the
    /// model is asked again.
    #[serde(rename = "output.refused")]
    OutputRefused {
        /// JSON pointer to the fault in the reply; empty for the whole of it.
        path: String,
        message: String,
    },
    /// `budget.reached`: with the step before it a budget is spent to 50, 80 or 100 %.
    #[serde(rename = "budget.reached")]
    BudgetReached(BudgetReached),
    /// `tool.started`: a call is about to run.
    #[serde(rename = "tool.started")]
    ToolStarted {
        /// [`super::ToolCall::id`].
        call_id: String,
        name: String,
        /// The arguments as the model wrote them.
        arguments: String,
    },
    /// `tool.output`: a piece of a running tool's output.
    #[serde(rename = "tool.output")]
    ToolOutput {
        /// [`super::ToolCall::id`].
        call_id: String,
        /// The piece as it came, control sequences and all; bytes that are no UTF-8 are replaced.
        text: String,
    },
    /// `tool.completed`: its result was committed.
    #[serde(rename = "tool.completed")]
    ToolCompleted {
        /// [`super::ToolCall::id`].
        call_id: String,
        name: String,
        /// How it ended.
        outcome: Outcome,
        /// What the model is shown.
        content: String,
    },
    /// `context.compacted`: from here on less of the session is sent to the model. What is stored
    /// stays as it is.
    #[serde(rename = "context.compacted")]
    ContextCompacted {
        /// Counts from 1 within the session.
        number: u64,
        kind: CompactionKind,
        /// The items that it is about.
        range: ItemRange,
        /// Estimate of what would have been sent.
        tokens_before: u64,
        /// Estimate of what is sent.
        tokens_after: u64,
        /// The summary, of one that summarised.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        summary: Option<String>,
    },
    /// `turn.completed`.
    #[serde(rename = "turn.completed")]
    TurnCompleted {
        /// Tokens of the whole turn.
        usage: Usage,
        /// What they cost, in pico-units.
        #[serde(default)]
        cost: u64,
    },
    /// `turn.failed`.
    #[serde(rename = "turn.failed")]
    TurnFailed { error: TurnError },
    /// `turn.cancelled`.
    #[serde(rename = "turn.cancelled")]
    TurnCancelled {},
}

impl EventKind {
    /// The name and the data of an event: `turn_id`, `at`, `type` and this kind's fields, as one
    /// line of JSON.
    #[must_use]
    pub fn name_and_data(&self, turn_id: &TurnId, at: &str) -> (String, String) {
        #[derive(Serialize)]
        struct Data<'a> {
            turn_id: &'a TurnId,
            at: &'a str,
            #[serde(flatten)]
            kind: &'a EventKind,
        }
        let data = serde_json::to_value(Data { turn_id, at, kind: self })
            .expect("events have string keys and no fallible fields");
        (data["type"].as_str().unwrap_or_default().to_owned(), data.to_string())
    }
}
