//! A reply as it is read, and what bounds it.

use std::collections::HashSet;

use evonic_domain::{Carried, ToolCall, Usage};
use serde_json::Value;

/// What a piece of an answer adds to a reply.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Added {
    pub(crate) text: String,
    pub(crate) reasoning: String,
}

impl Added {
    pub(crate) fn append(&mut self, more: Self) {
        self.text.push_str(&more.text);
        self.reasoning.push_str(&more.reasoning);
    }
}

/// A reply as its endpoint made it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Finished {
    pub(crate) text: String,
    pub(crate) tool_calls: Vec<ToolCall>,
    pub(crate) usage: Usage,
    /// What goes back as it came: [`Carried::data`].
    pub(crate) carried: Value,
}

impl Finished {
    /// What is carried, under the endpoint's name.
    pub(crate) fn carried(&mut self, endpoint: &str) -> Carried {
        Carried { endpoint: endpoint.to_owned(), data: self.carried.take() }
    }
}

/// What bounds a reply, and what it is read with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Terms {
    /// The most bytes of it.
    pub(crate) limit: usize,
    /// The ids of calls that were made before.
    pub(crate) taken: HashSet<String>,
    /// The names of the tools that it may call, as they are sent, and as they are.
    pub(crate) tools: Vec<(String, String)>,
    /// The window of the endpoint, where it is known.
    pub(crate) window: Option<u64>,
}
