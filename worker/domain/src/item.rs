//! The transcript that a model is shown: what was said, called and returned, in order.

use evonic_shared::named;
use serde::{Deserialize, Serialize};

use super::Usage;

/// A call of a tool, as the model asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The model's own identifier of the call, unique within its turn.
    pub id: String,
    pub name: String,
    /// The arguments as the model wrote them: JSON text, checked by the tool.
    pub arguments: String,
}

named! {
    /// How a tool call ended.
    Outcome {
        /// It did what was asked.
        Ok = "ok",
        /// It did not; the content says why.
        Error = "error",
        /// The worker died while it ran: whether it took effect cannot be known.
        Unknown = "unknown",
        /// The turn was cancelled while it ran.
        Cancelled = "cancelled",
    }
}

/// One entry of a transcript.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Item {
    User {
        text: String,
    },
    /// A model's reply.
    Assistant {
        /// The text; may be empty when there are tool calls.
        text: String,
        /// The calls it asks for, in order.
        tool_calls: Vec<ToolCall>,
        /// Tokens of this reply.
        usage: Usage,
    },
    /// What a tool call returned.
    ToolResult {
        /// [`ToolCall::id`].
        call_id: String,
        /// [`ToolCall::name`].
        name: String,
        /// How it ended.
        outcome: Outcome,
        /// What the model is shown.
        content: String,
    },
}
