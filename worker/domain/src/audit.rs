//! The audit log: who changed what, and when.

use std::net::IpAddr;

use evonic_shared::named;
use serde::{Deserialize, Serialize};

/// Who asks for a change, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// `key_...`, `uid:0`, `inside` or `anonymous`.
    pub actor: String,
    /// The client's address; none on the Unix socket and from inside.
    pub address: Option<IpAddr>,
    /// The request's identifier; none from inside.
    pub request_id: Option<String>,
}

impl Origin {
    /// The service itself.
    #[must_use]
    pub fn inside() -> Self {
        Self { actor: "inside".to_owned(), address: None, request_id: None }
    }
}

named! {
    /// What is recorded: what sort of thing, and what was done to it.
    Action {
        /// An agent was made.
        AgentCreate = "agent.create",
        /// An agent was changed.
        AgentUpdate = "agent.update",
        /// An agent was deleted, and its sessions with it.
        AgentDelete = "agent.delete",
        /// Sessions of an agent were removed because they were kept for long enough: `fields` has how
        /// many, as `sessions=12`.
        AgentExpire = "agent.expire",
        /// A session was made.
        SessionCreate = "session.create",
        /// A session was changed.
        SessionUpdate = "session.update",
        /// A session was deleted, with what was said in it.
        SessionDelete = "session.delete",
        /// Compacting a session was asked for.
        SessionCompact = "session.compact",
        /// A session was made of what another one was exported to.
        SessionImport = "session.import",
        /// A message was posted in a session.
        MessageCreate = "message.create",
        /// A content was uploaded to a session, to be attached to a message.
        BlobCreate = "blob.create",
        /// The end of a turn was asked for.
        TurnCancel = "turn.cancel",
        /// A workplace was made.
        WorkplaceCreate = "workplace.create",
        /// A workplace was changed.
        WorkplaceUpdate = "workplace.update",
        /// A workplace was deleted.
        WorkplaceDelete = "workplace.delete",
        /// A key was made.
        KeyCreate = "key.create",
        /// A key was revoked.
        KeyRevoke = "key.revoke",
        /// A budget was made.
        BudgetCreate = "budget.create",
        /// A budget was changed.
        BudgetUpdate = "budget.update",
        /// A budget was deleted.
        BudgetDelete = "budget.delete",
        /// A copy between workplaces was begun.
        CopyCreate = "copy.create",
        /// Building the image of sandboxes was begun.
        SandboxBuild = "sandbox.build",
    }
}

impl Action {
    /// The sort of thing that it is done to: `agent`.
    #[must_use]
    pub fn target(self) -> &'static str {
        self.name().split_once('.').map_or("", |(target, _)| target)
    }
}

impl std::str::FromStr for Action {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|action| action.name() == word).ok_or(())
    }
}

/// One line of the audit log. Names of things and of fields, never what is in them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// Its place in the log: greater than that of every earlier one.
    pub position: u64,
    /// RFC 3339, UTC, milliseconds.
    pub at: String,
    /// See [`Origin::actor`].
    pub actor: String,
    /// See [`Origin::address`].
    pub address: Option<String>,
    /// See [`Origin::request_id`].
    pub request_id: Option<String>,
    /// What was done.
    pub action: Action,
    /// To what.
    pub target: AuditTarget,
    /// The names of the fields that were changed; empty when it was made or deleted.
    pub fields: Vec<String>,
}

/// What something was done to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditTarget {
    /// `agent`, `session`, ...: the first half of the action.
    pub kind: String,
    /// Its identifier. Of `message.create` the message's, of `blob.create` the content's SHA-256.
    pub id: String,
    /// Its name at that time, where it has one: of an agent or a workplace. The session of a
    /// message, of a content and of a turn; the two workplaces of a copy.
    pub name: Option<String>,
}
