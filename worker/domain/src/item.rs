//! The transcript that a model is shown: what was said, called and returned, in order.

use evonic_shared::named;
use serde::{Deserialize, Serialize};

use super::{ItemRange, Usage};

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

/// What a reply carries beside its text and calls and must go back as it came: reasoning,
/// signatures. Nobody but the endpoint that sent it reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// Which endpoint sent it: it goes back to no other one.
    pub endpoint: String,
    /// In the form of that endpoint's kind.
    pub data: serde_json::Value,
}

named! {
    /// What an attachment is to a model.
    AttachmentKind {
        Image = "image",
        File = "file",
    }
}

/// A part of a message that is not its text. Its content is stored once, by its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    pub kind: AttachmentKind,
    /// SHA-256 of its content, in lower-case hexadecimal.
    pub sha256: String,
    /// Such as `image/png`.
    pub media_type: String,
    /// As its sender named it; may be empty.
    #[serde(default)]
    pub name: String,
    pub bytes: u64,
}

/// One entry of a transcript.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Item {
    User {
        text: String,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        attachments: Vec<Attachment>,
    },
    /// Stands for earlier items, which stay stored.
    Summary {
        text: String,
        /// What it summarises.
        range: ItemRange,
    },
    /// Stands for earlier items that are not sent, and stay stored.
    LeftOut { range: ItemRange },
    /// A model's reply.
    Assistant {
        /// The text; may be empty when there are tool calls.
        text: String,
        /// The calls it asks for, in order.
        tool_calls: Vec<ToolCall>,
        /// Tokens of this reply.
        usage: Usage,
        /// What they cost, in pico-units.
        #[serde(default, skip_serializing_if = "is_free")]
        cost: u64,
        /// The configured name of the model that made it; empty in items of before.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        model: String,
        /// What goes back to the endpoint as it came.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        carried: Option<Carried>,
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

impl Item {
    /// A message without attachments.
    #[must_use]
    pub fn user(text: impl Into<String>) -> Self {
        Item::User { text: text.into(), attachments: Vec::new() }
    }

    /// A reply that carries nothing beside its text and calls, of unknown tokens.
    #[must_use]
    pub fn assistant(text: impl Into<String>, tool_calls: Vec<ToolCall>) -> Self {
        Item::Assistant {
            text: text.into(),
            tool_calls,
            usage: Usage::default(),
            cost: 0,
            model: String::new(),
            carried: None,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_free(cost: &u64) -> bool {
    *cost == 0
}
