//! What the sections `[models.NAME]` must satisfy.

use std::collections::BTreeMap;

use super::super::{choice::ModelKind, reader::Reader, sections::Model};

/// The embedded model, which has no section.
const EMBEDDED: &str = "runbook";

/// Headers that requests have anyway, and those that would show a key.
const OWN_HEADERS: [&str; 6] =
    ["host", "connection", "content-length", "content-type", "transfer-encoding", "user-agent"];
const KEY_HEADERS: [&str; 4] = ["authorization", "x-api-key", "api-key", "x-goog-api-key"];

/// Fields without which a request asks nothing.
const NEEDED_FIELDS: [&str; 3] = ["model", "messages", "stream"];

pub(super) fn check(models: &BTreeMap<String, Model>, reader: &mut Reader<'_>) {
    for (name, model) in models {
        let mut refuse = |key: &str, (problem, advice): (String, &str)| {
            reader.refuse(&[&format!("models.{name}.{key}")], problem, advice);
        };
        for (key, faults) in [
            ("base_url", base_url(&model.base_url).err()),
            ("headers", model.headers.iter().find_map(|header| header_fault(header))),
            ("query", model.query.iter().find_map(|parameter| query_fault(parameter))),
            ("key_header", model.key_header.as_deref().and_then(key_header_fault)),
            ("leave_out", model.leave_out.iter().find_map(|field| field_fault(field))),
            ("temperature", temperature_fault(model)),
            ("max_tokens_field", field_of_other_kind(model)),
            ("max_tokens", max_tokens_fault(model)),
            ("reasoning_effort", thinking_fault(model)),
            ("summary_model", model.summary_model.as_deref().and_then(|to| unknown(models, to))),
            ("fallback", model.fallback.iter().find_map(|to| unknown(models, to))),
            ("fallback", fallback_loop(models, name)),
        ] {
            if let Some(fault) = faults {
                refuse(key, fault);
            }
        }
        let old = format!("models.{name}.timeout");
        if model.timeout.is_some_and(|timeout| timeout != model.call_timeout) {
            let new = format!("models.{name}.call_timeout");
            reader.refuse(
                &[&old, &new],
                "`timeout` is the old name of `call_timeout`, and both are given",
                "remove `timeout`",
            );
        }
    }
}

type Fault = (String, &'static str);

fn header_fault(header: &str) -> Option<Fault> {
    let Some((name, value)) = header.split_once(':') else {
        return Some((format!("{header:?} is no header"), "write `NAME: VALUE`"));
    };
    let lower = name.to_ascii_lowercase();
    if !is_token(name) || value.chars().any(char::is_control) {
        return Some((format!("{name:?} is no header that can be sent"), "write `NAME: VALUE`"));
    }
    if KEY_HEADERS.contains(&lower.as_str()) {
        let advice = "put the key in a variable, a file or a credential (key_env, key_file, \
                      key_credential), and name the header by key_header";
        return Some((format!("`{name}` would show a key"), advice));
    }
    let own = OWN_HEADERS.contains(&lower.as_str());
    own.then(|| (format!("`{name}` is set by the request itself"), "remove it"))
}

/// RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(fits)
}

fn query_fault(parameter: &str) -> Option<Fault> {
    let fits = |b: u8| b.is_ascii_graphic() && !b"#&?\"<>".contains(&b);
    let sound = parameter.bytes().all(fits)
        && parameter.split_once('=').is_some_and(|(name, _)| !name.is_empty());
    (!sound)
        .then(|| (format!("{parameter:?} is no parameter"), "write `NAME=VALUE`, percent-encoded"))
}

fn key_header_fault(name: &str) -> Option<Fault> {
    (!is_token(name))
        .then(|| (format!("{name:?} is no name of a header"), "write a name such as `api-key`"))
}

fn field_fault(field: &str) -> Option<Fault> {
    let needed = NEEDED_FIELDS.contains(&field);
    needed.then(|| (format!("no request is without `{field}`"), "remove it"))
}

fn temperature_fault(model: &Model) -> Option<Fault> {
    let refused = model.kind == ModelKind::Anthropic && model.temperature.is_some();
    refused.then(|| ("Messages refuses `temperature`".to_owned(), "remove it"))
}

fn field_of_other_kind(model: &Model) -> Option<Fault> {
    let other = model.kind == ModelKind::Anthropic && model.max_tokens_field.is_some();
    other.then(|| ("Messages has `max_tokens` only".to_owned(), "remove it"))
}

fn max_tokens_fault(model: &Model) -> Option<Fault> {
    let (max_tokens, window) = (u64::from(model.max_tokens?), model.context_tokens?);
    (max_tokens >= window).then(|| {
        let problem = format!(
            "a reply of {max_tokens} tokens leaves nothing of the {window} of `context_tokens`"
        );
        (problem, "write less than `context_tokens`, such as a quarter of it")
    })
}

/// Messages takes a budget of at least so many tokens.
const LEAST_THINKING: u32 = 1024;

/// What a reply of kind `anthropic` may have where `max_tokens` does not say it.
const DEFAULT_MAX_TOKENS: u32 = 8192;

fn thinking_fault(model: &Model) -> Option<Fault> {
    if model.kind != ModelKind::Anthropic {
        return None;
    }
    let budget: u32 = model.reasoning_effort.as_ref()?.parse().ok()?;
    let max_tokens = model.max_tokens.unwrap_or(DEFAULT_MAX_TOKENS);
    (!(LEAST_THINKING..max_tokens).contains(&budget)).then(|| {
        let problem = format!(
            "a budget of {budget} tokens is not from {LEAST_THINKING} to below the {max_tokens} of \
             `max_tokens`"
        );
        (problem, "write a budget between the two, or a word such as `high`")
    })
}

fn unknown(models: &BTreeMap<String, Model>, to: &str) -> Option<Fault> {
    let known = to == EMBEDDED || models.contains_key(to);
    (!known).then(|| {
        (format!("no model {to:?} is configured"), "write the name of a section `[models.NAME]`")
    })
}

/// Whether a model comes after itself, told where the loop begins only.
fn fallback_loop(models: &BTreeMap<String, Model>, name: &str) -> Option<Fault> {
    let mut reached: Vec<&str> = vec![name];
    let mut next = 0;
    while let Some(&from) = reached.get(next) {
        next += 1;
        for to in models.get(from).map_or(&[][..], |model| &model.fallback) {
            if to == name {
                let problem = format!("`{from}` falls back on `{name}`, which falls back on it");
                return Some((problem, "remove one of them from `fallback`"));
            }
            if !reached.contains(&to.as_str()) {
                reached.push(to);
            }
        }
    }
    None
}

/// The error is the problem and what to do.
fn base_url(url: &str) -> Result<(), (String, &'static str)> {
    const ADVICE: &str = "write it up to and with its version, such as `https://api.openai.com/v1`";
    let Some(rest) = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")) else {
        return Err((format!("{url:?} is no http:// or https:// address"), ADVICE));
    };
    let host = rest.split('/').next().unwrap_or_default();
    if host.contains('@') {
        return Err((
            "it contains a user or a password".to_owned(),
            "put the key in a variable, a file or a credential (key_env, key_file, key_credential)",
        ));
    }
    if host.is_empty() || host.starts_with(':') {
        return Err((format!("{url:?} names no host"), ADVICE));
    }
    if url.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#')) {
        return Err((format!("{url:?} has a query, a fragment or white space"), ADVICE));
    }
    Ok(())
}
