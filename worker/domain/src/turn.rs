//! A turn: what an agent does to answer one message.
//!
//! ```text
//!            claim                 last reply without tool calls
//! queued ------------> running --------------------------------> completed
//!   ^                     |  \-- model or tool machinery failed --> failed
//!   | hand-over, takeover |  \-- cancel requested ----------------> cancelled
//!   +---------------------+
//! queued -- cancel requested --> cancelled
//! ```

use evonic_shared::named;
use serde::{Deserialize, Serialize};

use super::{SessionId, TurnId, Usage};

named! {
    /// State of a turn.
    TurnState {
        /// Waits for a queue worker, at its first or at a later step.
        Queued = "queued",
        /// A worker owns it.
        Running = "running",
        /// The agent answered.
        Completed = "completed",
        /// It could not be finished; the error says why.
        Failed = "failed",
        Cancelled = "cancelled",
    }
}

impl TurnState {
    /// Whether it will never change again.
    #[must_use]
    pub const fn is_ended(self) -> bool {
        matches!(self, TurnState::Completed | TurnState::Failed | TurnState::Cancelled)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    pub id: TurnId,
    pub session_id: SessionId,
    pub state: TurnState,
    /// Model replies committed so far.
    pub steps: u32,
    /// Generation of the worker that runs it, while it runs.
    pub owner: Option<u64>,
    /// Whether a client asked to cancel it.
    pub cancel_requested: bool,
    /// Why it failed, if it did.
    pub error: Option<TurnError>,
    /// Tokens so far, as the model's endpoint counted them.
    pub usage: Usage,
    /// What they cost, in pico-units: the price of a model's tokens is in its configuration.
    #[serde(default)]
    pub cost: u64,
    /// Until when it waits, while it does.
    #[serde(default)]
    pub waiting: Option<Waiting>,
    /// The request that posted its message, as it was answered and logged.
    #[serde(default)]
    pub request_id: Option<String>,
    /// RFC 3339, UTC, milliseconds.
    pub created_at: String,
    /// When it was first claimed.
    pub started_at: Option<String>,
    /// When it ended.
    pub ended_at: Option<String>,
}

/// Why a turn failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnError {
    /// The reason, for programs.
    pub code: TurnErrorCode,
    /// A sentence for a person.
    pub message: String,
}

impl TurnError {
    #[must_use]
    pub fn new(code: TurnErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

named! {
    /// Why a turn failed, as a stable word.
    TurnErrorCode {
        /// No model of the agent's is configured under its name.
        ModelUnknown = "model_unknown",
        /// The model cannot be used as it is configured.
        ModelSetup = "model_setup",
        /// The model's endpoint refused the request for good.
        ModelRefused = "model_refused",
        /// The model's endpoint could not be reached, or failed, after every retry.
        ModelUnavailable = "model_unavailable",
        /// The endpoint's answer breaks its protocol.
        ModelProtocol = "model_protocol",
        /// The model's reply was not complete, also not after it was asked for again.
        IncompleteReply = "incomplete_reply",
        /// The model's reply was not whole within `models.NAME.call_timeout`.
        ModelTimeout = "model_timeout",
        /// The model's reply is larger than `models.NAME.max_reply_bytes`.
        ReplyTooLarge = "reply_too_large",
        /// The transcript is larger than `agents.max_transcript_bytes`.
        TranscriptTooLarge = "transcript_too_large",
        /// The model replied `agents.max_steps` times without coming to an end.
        TooManySteps = "too_many_steps",
        /// It ran for longer than `agents.turn_timeout`.
        TurnTimeout = "turn_timeout",
        /// `agents.max_takeovers` workers in a row died while they had it.
        TooManyTakeovers = "too_many_takeovers",
        /// The outcome of a call is unknown, and `tools.on_lost` says `fail`.
        OutcomeUnknown = "outcome_unknown",
        /// A defect of the program, or a broken database.
        Internal = "internal",
    }
}

named! {
    /// What a queued turn waits for, beside its place.
    WaitReason {
        /// The model's endpoint told to come back later.
        RateLimit = "rate_limit",
        /// The model's endpoint is overloaded, or cannot be reached.
        Unavailable = "unavailable",
        /// A budget is spent until its next period.
        Budget = "budget",
    }
}

/// Until when a queued turn waits, and what for. It holds no place, permit or handle meanwhile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    pub reason: WaitReason,
    /// RFC 3339, UTC, milliseconds.
    pub until: String,
    /// A sentence for a person.
    pub message: String,
}

/// How a turn ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TurnEnd {
    /// With this text as the assistant's message.
    Completed { text: String },
    /// With this error.
    Failed(TurnError),
    /// Because a client asked.
    Cancelled,
}

/// The right to write a turn: every write names it, and is refused when the database knows
/// another owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub turn_id: TurnId,
    pub session_id: SessionId,
    /// The worker's generation.
    pub generation: u64,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::TurnErrorCode;

    #[test]
    fn every_code_of_a_failed_turn_is_documented_and_no_other() {
        let document = include_str!("../../../docs/openapi.json");
        let document: Value = serde_json::from_str(document).expect("the document is JSON");
        let code = &document["components"]["schemas"]["TurnError"]["properties"]["code"];
        let names = TurnErrorCode::ALL.map(TurnErrorCode::name);
        assert_eq!(code["enum"], json!(names));
        assert_eq!(json!(TurnErrorCode::ALL), json!(names), "words on the wire");
        let description = code["description"].as_str().expect("it is described");
        for name in names {
            assert!(description.contains(&format!("`{name}`: ")), "{name} is not explained");
        }
    }
}
