//! Keys: who may do what over HTTP.

use serde::{Deserialize, Serialize};

/// What a caller may do. Each scope may do what the ones below it may: `admin` > `operate` >
/// `run` > `read`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// See everything but keys.
    Read,
    /// Talk with agents: sessions, messages, cancellation.
    Run,
    /// Change agents; check, build and copy.
    Operate,
    /// Everything: also where agents may act, and keys.
    Admin,
}

impl Scope {
    /// Every scope, the least one first.
    pub const ALL: [Self; 4] = [Self::Read, Self::Run, Self::Operate, Self::Admin];

    /// Its word, on the wire and in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Run => "run",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
