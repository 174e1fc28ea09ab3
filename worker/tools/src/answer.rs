//! What comes of a call.

use evonic_domain::Outcome;
use evonic_shared::error_chain::ErrorChain;
use evonic_workplace::WorkplaceError;

use crate::output::capped;

/// The most bytes of an error, which may repeat what a host said or what a call asked for.
pub(crate) const MAX_ERROR_BYTES: usize = 16 * 1024;

/// What a tool returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolResult {
    /// How it ended: never [`Outcome::Unknown`].
    pub outcome: Outcome,
    /// What the model is shown: capped, with the sizes of what was left out.
    pub content: String,
}

impl ToolResult {
    /// It did what was asked.
    #[must_use]
    pub fn ok(content: impl Into<String>) -> Self {
        Self { outcome: Outcome::Ok, content: content.into() }
    }

    /// It failed; `content` says to the model what to do about it.
    #[must_use]
    pub fn error(content: impl Into<String>) -> Self {
        Self { outcome: Outcome::Error, content: content.into() }
    }

    /// It was cancelled before it did anything, or with nothing to say about it.
    #[must_use]
    pub fn cancelled() -> Self {
        Self { outcome: Outcome::Cancelled, content: "[cancelled]".to_owned() }
    }
}

impl From<WorkplaceError> for ToolResult {
    fn from(error: WorkplaceError) -> Self {
        Self::error(capped(&ErrorChain(&error).to_string(), MAX_ERROR_BYTES))
    }
}

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Its result.
    Known(ToolResult),
    /// It cannot be known.
    Lost(Loss),
}

impl From<ToolResult> for Answer {
    fn from(result: ToolResult) -> Self {
        Answer::Known(result)
    }
}

/// What is known of a call whose outcome cannot be known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Why it cannot, as a clause without a full stop.
    pub why: String,
    /// What it wrote until then: capped.
    pub output: String,
    /// Whether it may still run: then it must not be run again.
    pub runs_on: bool,
}

impl Loss {
    /// It cannot be known for this reason; the call does not run any more.
    #[must_use]
    pub fn because(why: impl Into<String>) -> Self {
        Self { why: why.into(), ..Self::default() }
    }
}
