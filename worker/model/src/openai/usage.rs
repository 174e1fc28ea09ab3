//! The tokens of a reply, as endpoints count them: what is odd counts as unknown.

use evonic_domain::Usage;
use serde_json::Value;

/// Reads `usage` of a chunk; none when it counts nothing.
pub(super) fn read(usage: &Value) -> Option<Usage> {
    let count = |paths: &[&str]| {
        paths.iter().find_map(|path| number(usage.pointer(path)?)).unwrap_or_default()
    };
    let read = Usage {
        input_tokens: count(&["/prompt_tokens"]),
        cached_tokens: count(&[
            "/prompt_tokens_details/cached_tokens",
            "/prompt_cache_hit_tokens",
            "/cached_tokens",
        ]),
        cache_write_tokens: count(&[
            "/prompt_tokens_details/cache_write_tokens",
            "/cache_creation_input_tokens",
        ]),
        output_tokens: count(&["/completion_tokens"]),
        reasoning_tokens: count(&["/completion_tokens_details/reasoning_tokens"]),
    };
    (read != Usage::default()).then_some(read)
}

/// A count, also one that is written as a fraction.
pub(crate) fn number(value: &Value) -> Option<u64> {
    let float = || value.as_f64().filter(|number| (0.0..1e15).contains(number));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is not negative, and far from the largest integer"
    )]
    value.as_u64().or_else(|| float().map(|number| number as u64))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn odd_counts_are_unknown() {
        for usage in [json!(null), json!({}), json!([]), json!("7"), json!({"prompt_tokens": -3})] {
            assert_eq!(read(&usage), None, "{usage}");
        }
        let usage = json!({"prompt_tokens": 1151.0, "completion_tokens": -35, "x": {"y": 1},
            "prompt_tokens_details": {"cached_tokens": 100}, "completion_tokens_details": null});
        let expected = Usage { input_tokens: 1151, cached_tokens: 100, ..Usage::default() };
        assert_eq!(read(&usage), Some(expected));
        let deepseek = json!({"prompt_tokens": 9, "prompt_cache_hit_tokens": 4});
        assert_eq!(read(&deepseek).map(|usage| usage.cached_tokens), Some(4));
    }
}
