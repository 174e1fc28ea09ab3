//! The reply in the making, by kind of endpoint.

use evonic_domain::Usage;
use serde_json::Value;

use super::{Added, Failure, Finished};
use crate::{anthropic, openai};

/// From chunks to a reply, by kind of endpoint.
#[derive(Debug)]
pub(crate) enum Assembly {
    OpenAi(openai::Assembly),
    Anthropic(anthropic::Assembly),
}

impl Assembly {
    pub(super) fn take(&mut self, chunk: Value) -> Result<Added, Failure> {
        match self {
            Self::OpenAi(assembly) => assembly.take(chunk),
            Self::Anthropic(assembly) => assembly.take(chunk),
        }
    }

    pub(super) fn usage(&self) -> Usage {
        match self {
            Self::OpenAi(assembly) => assembly.usage(),
            Self::Anthropic(assembly) => assembly.usage(),
        }
    }

    /// Whether any token of a reply came.
    pub(super) fn is_begun(&self) -> bool {
        match self {
            Self::OpenAi(assembly) => assembly.is_begun(),
            Self::Anthropic(assembly) => assembly.is_begun(),
        }
    }

    /// Whether the endpoint said how the reply ends.
    pub(super) fn is_finished(&self) -> bool {
        match self {
            Self::OpenAi(assembly) => assembly.is_finished(),
            Self::Anthropic(assembly) => assembly.is_finished(),
        }
    }

    /// Whether nothing more can come.
    pub(super) fn is_done(&self) -> bool {
        match self {
            Self::OpenAi(_) => false,
            Self::Anthropic(assembly) => assembly.is_done(),
        }
    }

    /// `ended` is whether the endpoint said that nothing more comes.
    pub(super) fn finish(self, ended: bool) -> Result<(Finished, Added), Failure> {
        match self {
            Self::OpenAi(assembly) => assembly.finish(ended),
            Self::Anthropic(assembly) => assembly.finish(),
        }
    }
}
