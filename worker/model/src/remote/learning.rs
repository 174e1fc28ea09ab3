//! What a refusal teaches: a field that the endpoint does not take, its window.

use evonic_shared::config::ModelKind;

use super::{Failure, IMAGES, Remote};
use crate::{Request, anthropic, openai};

/// How endpoints say that they do not take a field.
const REFUSALS: [&str; 18] = [
    "unsupported",
    "unavailable",
    "not implemented",
    "not supported",
    "not support",
    "unrecognized",
    "unknown",
    "unexpected",
    "extra inputs",
    "extra fields",
    "not permitted",
    "not allowed",
    "extra_forbidden",
    "invalid parameter",
    "invalid field",
    "use 'max_",
    "deprecated",
    "is not available",
];

/// How endpoints call fields that they do not name.
const WORDS: [(&str, &str); 4] = [
    ("response format", "response_format"),
    ("structured output", "response_format"),
    ("json_schema", "response_format"),
    ("json schema", "response_format"),
];

/// Learns from a failure. Whether the request, written anew, may do better at once: a field that
/// was refused is left out from now on.
pub(super) fn learn(model: &Remote, request: &Request, failure: &Failure) -> bool {
    match failure {
        Failure::TooLong { window: Some(window), .. } => {
            model.facts.learn_window(&model.identity, *window, jiff::Timestamp::now());
            false
        }
        Failure::Refused { status: 400 | 404 | 415 | 422, message } => {
            let lower = in_field_names(message);
            refused_field(model, request, &lower)
                .is_some_and(|field| model.facts.learn_refusal(&model.identity, field))
        }
        _ => false,
    }
}

/// A message in lower case, with the names of fields where it has words for them.
fn in_field_names(message: &str) -> String {
    let lower = message.to_lowercase();
    WORDS.iter().fold(lower, |text, (words, field)| text.replace(words, field))
}

/// The field of this request that a message refuses by name. What the request is about is never
/// left out: without its tools it would be another one.
fn refused_field(model: &Remote, request: &Request, lower: &str) -> Option<&'static str> {
    // A schema that is refused says nothing of the next one.
    if !says(lower, &REFUSALS) || lower.contains("invalid schema") {
        return None;
    }
    let fields: &[&'static str] = match model.settings.kind {
        ModelKind::OpenAi => &openai::FIELDS,
        ModelKind::Anthropic => &anthropic::FIELDS,
    };
    let refused = model.known().refused_fields;
    let sent = |field: &&&str| {
        let config = &model.settings;
        let has = match **field {
            "temperature" => config.temperature.is_some(),
            "reasoning_effort" | "thinking" | "output_config" => config.reasoning_effort.is_some(),
            "response_format" | "output_format" => request.response_schema.is_some(),
            "max_tokens" | "max_completion_tokens" => {
                config.max_tokens.or(request.max_output_tokens).is_some()
            }
            "tools" | IMAGES => false,
            _ => true,
        };
        has && !refused.iter().any(|known| known == **field)
    };
    // The one that is named first is the one at fault: the other is what to write instead.
    let named =
        fields.iter().filter(sent).filter_map(|field| Some((position(lower, field)?, *field)));
    named.min().map(|(_, field)| field)
}

/// Where a message names a field, as a word of its own.
fn position(lower: &str, field: &str) -> Option<usize> {
    let within = |c: char| c.is_ascii_alphanumeric() || c == '_';
    lower.match_indices(field).map(|(place, _)| place).find(|&place| {
        !lower[..place].ends_with(within) && !lower[place + field.len()..].starts_with(within)
    })
}

pub(super) fn says(lower: &str, phrases: &[&str]) -> bool {
    phrases.iter().any(|phrase| lower.contains(phrase))
}
