//! What comes of a call.

use evonic_domain::Outcome;
use evonic_workplace::{Unknown, WorkplaceError};

/// What a tool returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolResult {
    /// How it ended: never [`Outcome::Unknown`].
    pub outcome: Outcome,
    /// What the model is shown: capped, sizes told.
    pub content: String,
}

impl ToolResult {
    pub(super) fn ok(content: String) -> Self {
        Self { outcome: Outcome::Ok, content }
    }

    pub(super) fn error(content: String) -> Self {
        Self { outcome: Outcome::Error, content }
    }

    pub(super) fn cancelled() -> Self {
        Self { outcome: Outcome::Cancelled, content: "[cancelled]".to_owned() }
    }
}

impl From<WorkplaceError> for ToolResult {
    fn from(error: WorkplaceError) -> Self {
        Self::error(sentence(&error))
    }
}

/// An error with its causes in one line.
pub(super) fn sentence(error: &WorkplaceError) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |e| e.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Its result.
    Known(ToolResult),
    /// Nobody can know.
    Lost(Loss),
}

impl From<ToolResult> for Answer {
    fn from(result: ToolResult) -> Self {
        Answer::Known(result)
    }
}

/// What is known of a call whose outcome nobody can know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Why nobody can, as a clause without a full stop.
    pub why: String,
    /// What it wrote until then: capped.
    pub output: String,
    /// Whether it may still run: then it must not be run again.
    pub runs_on: bool,
}

impl Loss {
    /// Nobody can know, because of this.
    pub(super) fn because(why: impl Into<String>) -> Self {
        Self { why: why.into(), ..Self::default() }
    }
}

/// Why nobody can know how a command ended.
pub(super) const fn why(unknown: Unknown) -> &'static str {
    match unknown {
        Unknown::NoRecord => {
            "there is no record of it on its machine: it never began, or its record was removed"
        }
        Unknown::Restarted => {
            "its machine was started anew, or its container stopped, while it ran"
        }
        Unknown::WatcherKilled => {
            "somebody killed the shell that watched over it, and what was left of it has been \
             killed too"
        }
        Unknown::OutOfReach => "its machine is out of reach: whether it was started cannot be told",
    }
}
