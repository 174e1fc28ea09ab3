//! Refusals for length, as endpoints say them, and the window that they tell.

use crate::facts::LEAST_WINDOW;

/// What a refusal tells of the request's size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TooLong {
    /// Tokens that it may have.
    pub(super) window: Option<u64>,
    /// Tokens that it had.
    pub(super) tokens: Option<u64>,
}

const WORDS: [&str; 4] = [
    "context_length_exceeded",
    "exceed_context_size",
    "context_window_exceeded",
    "request_too_large",
];

const PHRASES: [&str; 17] = [
    "maximum context length",
    "maximum prompt length",
    "context length",
    "context window",
    "context size",
    "context limit",
    "prompt is too long",
    "input is too long",
    "too many tokens",
    "input token count",
    "reduce the length",
    "longer than the model",
    "too large for model",
    "prompt too long",
    "total number of tokens in the prompt",
    "`inputs` tokens",
    "exceeds the maximum number of tokens",
];

/// What stands before the window.
const BEFORE: [&str; 17] = [
    "context length is ",
    "context length of only ",
    "context length of ",
    "context length (",
    "context length: ",
    "context size (",
    "context size is ",
    "context window of ",
    "context window is ",
    "prompt length is ",
    "tokens allowed (",
    "must be <= ",
    "cannot exceed ",
    "> ",
    "limit of ",
    "maximum of ",
    "limit is ",
];

/// What stands behind it.
const BEHIND: [&str; 2] = [" maximum context length", " maximum"];

/// Reads an error; none when it is about something else.
pub(super) fn read(status: Option<u16>, words: &[String], message: &str) -> Option<TooLong> {
    let lower = message.to_lowercase();
    // A limit of tokens a minute that one request goes beyond: waiting does not help.
    if status == Some(429) {
        return lower.contains("request too large").then(TooLong::default);
    }
    if !matches!(status, None | Some(400 | 413 | 422 | 500)) {
        return None;
    }
    let said = words.iter().any(|word| WORDS.iter().any(|known| word.contains(known)))
        || PHRASES.iter().any(|phrase| lower.contains(phrase));
    if !said && status != Some(413) {
        return None;
    }
    let window = BEFORE
        .iter()
        .find_map(|phrase| number_at(lower.split_once(phrase)?.1))
        .or_else(|| BEHIND.iter().find_map(|phrase| number_before(lower.split_once(phrase)?.0)))
        .filter(|window| *window >= LEAST_WINDOW);
    let tokens = window.and_then(|window| numbers(&lower).filter(|&number| number > window).max());
    Some(TooLong { window, tokens })
}

/// The number that a text begins with, its thousands parted by commas or not.
fn number_at(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(|b| b.is_ascii_digit() || *b == b',');
    let digits: String = digits.filter(u8::is_ascii_digit).map(char::from).collect();
    digits.parse().ok()
}

/// The last number of a text that ends with it, but for words like `tokens`.
fn number_before(text: &str) -> Option<u64> {
    let last = text.rsplit(' ').take(3).find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    number_at(last?)
}

fn numbers(text: &str) -> impl Iterator<Item = u64> {
    text.split(|c: char| !c.is_ascii_digit() && c != ',').filter_map(number_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_read_from_every_wording() {
        for (message, window, tokens) in [
            (
                "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens. Please reduce the length of the messages.",
                8192,
                Some(9001),
            ),
            (
                "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (4500 in the messages, 500 in the completion).",
                4096,
                Some(5000),
            ),
            ("prompt is too long: 210000 tokens > 200000 maximum", 200_000, Some(210_000)),
            (
                "input length and `max_tokens` exceed context limit: 198000 + 8192 > 200000, decrease input length",
                200_000,
                None,
            ),
            (
                "The input (200000 tokens) is longer than the model's context length (131072 tokens).",
                131_072,
                Some(200_000),
            ),
            (
                "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
                1_048_576,
                Some(1_200_000),
            ),
            (
                "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
                32_768,
                Some(40_000),
            ),
            (
                "This model's maximum prompt length is 131072 but the request contains 150000 tokens.",
                131_072,
                Some(150_000),
            ),
            ("the model is loaded with context length of only 4096 tokens", 4096, None),
            (
                "`inputs` tokens + `max_new_tokens` must be <= 4097. Given: 5000 `inputs` tokens",
                4097,
                Some(5000),
            ),
            (
                "prompt is too long: 140,000, model maximum context length: 131,072",
                131_072,
                Some(140_000),
            ),
        ] {
            let read = read(Some(400), &[], message).unwrap_or_else(|| panic!("{message}"));
            assert_eq!((read.window, read.tokens), (Some(window), tokens), "{message}");
        }
    }

    #[test]
    fn what_is_about_something_else_is_none() {
        let word = vec!["context_length_exceeded".to_owned()];
        assert_eq!(read(None, &word, "no"), Some(TooLong::default()));
        assert_eq!(read(Some(413), &[], "<html>"), Some(TooLong::default()));
        assert!(read(Some(429), &[], "Request too large for gpt-4o: Limit 30000").is_some());
        for (status, message) in [
            (400, "max_tokens: 9000 > 4096, which is the maximum allowed number of output tokens"),
            (400, "no such model"),
            (429, "Rate limit reached: limit of 30000 tokens a minute"),
            (401, "maximum context length is 3"),
        ] {
            assert_eq!(read(Some(status), &[], message), None, "{message}");
        }
    }
}
