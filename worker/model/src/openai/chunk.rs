//! What an endpoint sends: a chunk of a stream, or a whole completion. Fields that are not needed
//! are passed over, and what endpoints are known to vary is accepted.

use serde::Deserialize;
use serde_json::Value;

/// A chunk, or a completion.
#[derive(Debug, Deserialize)]
pub(super) struct Chunk {
    #[serde(default, deserialize_with = "nullable")]
    pub(super) choices: Vec<Choice>,
    pub(super) usage: Option<Tokens>,
    pub(super) error: Option<Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Choice {
    #[serde(default)]
    pub(super) index: u32,
    /// `message` in a completion.
    #[serde(alias = "message")]
    pub(super) delta: Option<Delta>,
    pub(super) finish_reason: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Delta {
    pub(super) content: Option<Content>,
    /// Instead of content, from a model that declines.
    pub(super) refusal: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) tool_calls: Vec<CallDelta>,
}

/// Text, or parts of which some are text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize)]
pub(super) struct Part {
    text: Option<String>,
}

impl Content {
    pub(super) fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Parts(parts) => parts.into_iter().filter_map(|part| part.text).collect(),
        }
    }
}

/// A piece of a tool call.
#[derive(Debug, Deserialize)]
pub(super) struct CallDelta {
    pub(super) index: Option<u64>,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) id: String,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) function: FunctionDelta,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct FunctionDelta {
    #[serde(default, deserialize_with = "nullable")]
    pub(super) name: String,
    /// A piece of JSON text; from some endpoints the object itself.
    #[serde(default)]
    arguments: Value,
}

impl FunctionDelta {
    pub(super) fn into_parts(self) -> (String, String) {
        let arguments = match self.arguments {
            Value::Null => String::new(),
            Value::String(text) => text,
            other => other.to_string(),
        };
        (self.name, arguments)
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Tokens {
    #[serde(default, deserialize_with = "nullable")]
    pub(super) prompt_tokens: u64,
    #[serde(default, deserialize_with = "nullable")]
    pub(super) completion_tokens: u64,
}

/// Null where a value is expected counts as absent.
fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The message of an error object, and its status where it has one. Endpoints write
/// `{"error": {"message", "code"}}`, `{"error": "..."}`, `{"message"}` or `{"detail"}`.
pub(super) fn explain(value: &Value) -> (Option<u16>, String) {
    let inner = value.get("error").filter(|error| !error.is_null()).unwrap_or(value);
    let status = ["code", "status"].iter().find_map(|name| {
        let code = inner.get(name)?;
        let number = code.as_u64().or_else(|| code.as_str()?.parse().ok())?;
        u16::try_from(number).ok().filter(|status| (400..600).contains(status))
    });
    let message = ["message", "detail"].iter().find_map(|name| inner.get(name)?.as_str());
    let message = message.or(inner.as_str()).map_or_else(|| inner.to_string(), str::to_owned);
    (status, message)
}
