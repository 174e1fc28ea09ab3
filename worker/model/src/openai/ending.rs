//! What a finish reason means.

use serde_json::Value;

/// How the endpoint says that a reply ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// At the model's own end.
    Done,
    /// So that its calls are run.
    Calls,
    /// At the limit of tokens.
    Length,
    /// By a filter.
    Filtered,
    /// By a failure of the endpoint's.
    Broken,
    /// In no way that makes it whole.
    Other(String),
}

impl Ending {
    /// Reads a reason, as the endpoints that are in use write it.
    pub(super) fn read(reason: &str) -> Self {
        match reason.to_ascii_lowercase().as_str() {
            "stop" | "end_turn" | "end" | "eos" | "eos_token" | "stop_sequence" | "stop_token"
            | "complete" | "completed" | "finish" | "finished" | "finish_reason_stop" => Self::Done,
            "tool_calls" | "tool_call" | "tool_use" | "function_call" => Self::Calls,
            "length"
            | "max_tokens"
            | "max_output_tokens"
            | "max_completion_tokens"
            | "model_length"
            | "token_limit"
            | "finish_reason_max_tokens" => Self::Length,
            "content_filter"
            | "safety"
            | "recitation"
            | "prohibited_content"
            | "blocklist"
            | "spii"
            | "image_safety"
            | "refusal"
            | "sensitive"
            | "guardrail_intervened" => Self::Filtered,
            "error" | "network_error" | "insufficient_system_resource" | "engine_error" => {
                Self::Broken
            }
            _ => Self::Other(reason.chars().take(64).collect()),
        }
    }
}

/// A reason as text; from some endpoints an object with it.
pub(super) fn reason(value: &Value) -> Option<String> {
    let text = match value {
        Value::Null => return None,
        Value::String(text) => text.clone(),
        Value::Object(fields) => fields
            .get("type")
            .or_else(|| fields.get("reason"))
            .and_then(Value::as_str)
            .map_or_else(|| value.to_string(), str::to_owned),
        other => other.to_string(),
    };
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_that_nobody_knows_is_no_end() {
        for (reason, ending) in [
            ("stop", Ending::Done),
            ("STOP", Ending::Done),
            ("tool_calls", Ending::Calls),
            ("MAX_TOKENS", Ending::Length),
            ("SAFETY", Ending::Filtered),
            ("error", Ending::Broken),
            ("abort", Ending::Other("abort".to_owned())),
            ("malformed_function_call", Ending::Other("malformed_function_call".to_owned())),
        ] {
            assert_eq!(Ending::read(reason), ending);
        }
    }
}
