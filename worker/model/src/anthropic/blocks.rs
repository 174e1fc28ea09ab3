//! The content of a reply in order, as it is carried: thinking as it came, and places for the text
//! and the calls, which stand elsewhere.

use serde_json::{Value, json};

/// A block of a carried reply.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Block<'a> {
    /// As it came, with its signature.
    Kept(&'a Value),
    /// So many bytes of the text.
    Text(usize),
    /// The next call.
    Call,
}

impl<'a> Block<'a> {
    /// The blocks of a carried reply; none of one that carries nothing.
    pub(super) fn read_all(carried: &'a Value) -> Vec<Self> {
        let blocks = carried.get("blocks").and_then(Value::as_array);
        let read = |block: &'a Value| match block.get("text") {
            _ if *block == json!("call") => Self::Call,
            Some(bytes) if block.get("type").is_none() => {
                Self::Text(bytes.as_u64().and_then(|b| usize::try_from(b).ok()).unwrap_or(0))
            }
            _ => Self::Kept(block),
        };
        blocks.into_iter().flatten().map(read).collect()
    }

    pub(super) fn is_thinking(&self) -> bool {
        let Self::Kept(block) = self else { return false };
        let kind = block.get("type").and_then(Value::as_str).unwrap_or_default();
        matches!(kind, "thinking" | "redacted_thinking")
    }
}

/// Carried blocks in the making.
#[derive(Debug, Default)]
pub(super) struct Carrying {
    blocks: Vec<Value>,
    /// Whether one of them stands nowhere else.
    kept: bool,
}

impl Carrying {
    pub(super) fn keep(&mut self, block: Value) {
        self.kept = true;
        self.blocks.push(block);
    }

    pub(super) fn text(&mut self, bytes: usize) {
        self.blocks.push(json!({ "text": bytes }));
    }

    pub(super) fn call(&mut self) {
        self.blocks.push(json!("call"));
    }

    /// Null when the text and the calls say it all.
    pub(super) fn finish(self) -> Value {
        if self.kept { json!({ "blocks": self.blocks }) } else { Value::Null }
    }
}
