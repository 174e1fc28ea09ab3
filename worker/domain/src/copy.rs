//! A copy from one workplace to another, as it is asked for.

use serde::{Deserialize, Serialize};

use super::SessionId;

/// Body of `POST /api/v1/copies`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewCopy {
    /// What is copied.
    pub from: CopyEnd,
    /// Where to: its new path, or the folder below which it goes.
    pub to: CopyEnd,
    /// Whether a folder is copied, with everything below it.
    #[serde(default)]
    pub recursive: bool,
}

/// A path of a workplace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CopyEnd {
    pub workplace: String,
    pub path: String,
    /// The session whose container or folder it is, where each session has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
}
