//! What somebody changed about the supervisor itself.

use serde::{Deserialize, Serialize};

use crate::named::named;

named! {
    /// What the supervisor did about a change.
    Measure {
        /// It is as it was before.
        PutBack = "put_back",
        /// It cannot be put back, and the service can do with it.
        Reported = "reported",
        /// It cannot be put back: the supervisor ends, for a clean one to start.
        Exit = "exit",
    }
}

/// A change of the supervisor's limits, scheduling or folders that it did not make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tampering {
    /// When it was found: RFC 3339, UTC, milliseconds.
    pub at: String,
    /// The finding as a sentence: `the hard limit of open files is 3, 16384 are needed`.
    pub detail: String,
    /// What was done about it.
    pub measure: Measure,
}
