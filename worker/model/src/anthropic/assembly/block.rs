//! A block of a reply in the making.

use serde_json::{Map, Value};

/// A block as it came so far.
#[derive(Debug)]
pub(super) enum Open {
    Text(String),
    Call {
        id: String,
        name: String,
        input: String,
    },
    /// Thinking, or what only the endpoint knows.
    Kept(Map<String, Value>),
}

impl Open {
    pub(super) const fn call() -> Self {
        Self::Call { id: String::new(), name: String::new(), input: String::new() }
    }

    pub(super) fn id(&self) -> Option<String> {
        match self {
            Self::Call { id, .. } => Some(id.clone()),
            Self::Text(_) | Self::Kept(_) => None,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Call { id, name, input } => id.len() + name.len() + input.len(),
            Self::Kept(block) => Value::Object(block.clone()).to_string().len(),
        }
    }

    pub(super) fn is_half(&self) -> bool {
        match self {
            Self::Text(_) => false,
            Self::Call { name, input, .. } => {
                name.is_empty()
                    || serde_json::from_str::<serde::de::IgnoredAny>(input)
                        .is_err_and(|error| error.is_eof() && !input.trim().is_empty())
            }
            Self::Kept(block) => {
                block.get("type").is_some_and(|kind| kind == "thinking")
                    && block.get("signature").and_then(Value::as_str).is_none_or(str::is_empty)
            }
        }
    }
}
