//! Keys: who may do what over HTTP.

use evonic_shared::named;
use serde::{Deserialize, Serialize};

use super::{AgentId, AgentName, KeyId};

named! {
    /// What a caller may do. Each scope may do what the ones above it may.
    Scope {
        /// See everything but keys.
        Read = "read",
        /// Talk with agents: sessions, messages, cancellation.
        Run = "run",
        /// Change agents; check, build and copy.
        Operate = "operate",
        /// Everything: also where agents may act, and keys.
        Admin = "admin",
    }
}

/// A key, without what is secret about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Its identifier; no secret.
    pub id: KeyId,
    /// Its name, unique among keys that are not revoked.
    pub name: AgentName,
    /// What it may do.
    pub scope: Scope,
    /// The only agents that it may see and use; null means every one.
    pub agents: Option<Vec<AgentId>>,
    /// RFC 3339, UTC, milliseconds.
    pub created_at: String,
    /// When it ends to be valid; null means never.
    pub expires_at: Option<String>,
    /// When it was last used, to a minute; null means never.
    pub last_used_at: Option<String>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<String>,
}

/// Body of `POST /api/v1/keys`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    pub name: AgentName,
    pub scope: Scope,
    /// After how many seconds it ends to be valid; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_seconds: Option<u64>,
    /// Names or identifiers of the only agents that it may see and use; every one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agents: Option<Vec<String>>,
}

/// Answer to `POST /api/v1/keys`: the only one that ever shows the key itself.
#[derive(Clone, Serialize, Deserialize)]
pub struct IssuedKey {
    /// What is known of it from now on.
    #[serde(flatten)]
    pub key: Key,
    /// The key itself, as clients show it.
    pub secret: String,
}
