//! A session: one conversation with one agent, and its messages.

use evonic_shared::named;
use serde::{Deserialize, Serialize};

use super::{AgentId, Attachment, MessageId, SessionId, Turn, TurnId, Usage};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    pub id: SessionId,
    /// The agent it talks with.
    pub agent_id: AgentId,
    /// For people; may be empty.
    pub title: String,
    /// Sequence number of its last event; 0 when it has none.
    pub last_event: u64,
    /// Tokens so far, as the models' endpoints counted them.
    #[serde(default)]
    pub usage: Usage,
    /// What they cost, in pico-units.
    #[serde(default)]
    pub cost: u64,
    /// RFC 3339, UTC, milliseconds.
    pub created_at: String,
    /// RFC 3339, UTC, milliseconds.
    pub updated_at: String,
}

/// Body of `POST /api/v1/sessions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewSession {
    /// Identifier or name of the agent.
    pub agent: String,
    #[serde(default)]
    pub title: String,
}

/// Body of `PATCH /api/v1/sessions/{id}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionChange {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

named! {
    /// Who said a message.
    Role {
        /// The client.
        User = "user",
        /// The agent: the final text of a turn.
        Assistant = "assistant",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    pub id: MessageId,
    pub session_id: SessionId,
    /// The turn it began, or that it ended.
    pub turn_id: TurnId,
    pub role: Role,
    pub content: String,
    /// In the order of its parts.
    #[serde(default)]
    pub attachments: Vec<Attachment>,
    /// RFC 3339, UTC, milliseconds.
    pub created_at: String,
}

/// Answer to a posted message: 202.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posted {
    /// The message as stored.
    pub message: Message,
    /// The turn that will answer it.
    pub turn: Turn,
}
