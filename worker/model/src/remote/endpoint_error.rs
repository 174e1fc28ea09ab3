//! An error as an endpoint words it, in any of the shapes in use, and the failure that it means.

mod spent;

use std::time::Duration;

use evonic_domain::WaitReason;
use serde_json::Value;

use super::{failure::Failure, too_long::TooLong, wait_hint};
use crate::facts::LEAST_WINDOW;

/// The most words that name a kind of error.
const MAX_WORDS: usize = 8;

/// An error, taken apart.
#[derive(Debug, Default)]
pub(crate) struct EndpointError {
    status: Option<u16>,
    /// Its type, code and status as words, in lower case.
    words: Vec<String>,
    message: String,
    /// What the request had and may have, where fields of the error say so.
    tokens: Option<u64>,
    window: Option<u64>,
}

impl EndpointError {
    /// The error that an answer with status 200 is; none when it is none. Endpoints write
    /// `{"error": {..}}`, `{"error": ".."}`, `[{"error": ..}]`, `{"object": "error", ..}`,
    /// `{"type": "error", ..}`, and without choices `{"message"}`, `{"detail"}`, `{"msg"}`,
    /// `{"errors"}` or `{"base_resp"}`.
    pub(crate) fn within(answer: &Value) -> Option<Self> {
        if let Value::Array(entries) = answer {
            return entries.first().and_then(Self::within);
        }
        let answer = answer.as_object()?;
        let said = |name: &str| answer.get(name).is_some_and(|value| !is_blank(value));
        let is = |name: &str| answer.get(name).and_then(Value::as_str) == Some("error");
        let refused = answer.get("base_resp").is_some_and(|base| {
            base.get("status_code").and_then(Value::as_i64).is_some_and(|code| code != 0)
        });
        let bare = || {
            !["choices", "content", "usage", "delta"].iter().any(|name| answer.contains_key(*name))
                && !answer.contains_key("type")
                && ["message", "detail", "msg", "errors", "error_msg"].iter().any(|name| said(name))
        };
        let wrong = said("error") || is("object") || is("type") || refused || bare();
        wrong.then(|| Self::of(&Value::Object(answer.clone())))
    }

    /// An error by its JSON.
    pub(crate) fn of(value: &Value) -> Self {
        if let Some(first) = value.as_array().and_then(|entries| entries.first()) {
            return Self::of(first);
        }
        let inner = ["error", "base_resp"]
            .iter()
            .find_map(|name| value.get(name).filter(|inner| !is_blank(inner)))
            .or_else(|| value.get("errors").and_then(|errors| errors.get(0)))
            .unwrap_or(value);
        let status = [inner, value].iter().find_map(|value| {
            ["code", "status", "status_code", "http_code", "statusCode"].iter().find_map(|name| {
                let code = value.get(name)?;
                let number = code.as_u64().or_else(|| code.as_str()?.parse().ok())?;
                u16::try_from(number).ok().filter(|status| (400..600).contains(status))
            })
        });
        let mut words = Vec::new();
        for value in [inner, value] {
            for name in ["type", "code", "status"] {
                let word = value.get(name).and_then(Value::as_str);
                words.extend(word.map(str::to_lowercase).filter(|_| words.len() < MAX_WORDS));
            }
        }
        let count = |name: &str| inner.get(name).and_then(Value::as_u64);
        Self {
            status,
            words,
            message: message(value, inner),
            tokens: count("n_prompt_tokens"),
            window: count("n_ctx"),
        }
    }

    /// An error whose body is no JSON.
    pub(crate) fn text(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    /// The failure that it is: with the status of the answer, or of the error within a 200; `after`
    /// is when the answer's headers ask to come back.
    pub(crate) fn failure(self, status: Option<u16>, after: Option<Duration>) -> Failure {
        let status = status.or(self.status);
        let plain = self.message;
        let said = |status: Option<u16>| match status {
            Some(status) => format!("status {status}: {plain}"),
            None => plain.clone(),
        };
        let lower = plain.to_lowercase();
        let is = |kinds: &[&str]| {
            self.words.iter().any(|word| kinds.iter().any(|kind| word.contains(kind)))
        };
        if let Some(TooLong { window, tokens }) = super::too_long::read(status, &self.words, &plain)
        {
            let own = self.window.filter(|window| *window >= LEAST_WINDOW);
            let (window, tokens) = (own.or(window), self.tokens.or(tokens));
            return Failure::TooLong { window, tokens, message: said(status) };
        }
        let after = after.or_else(|| wait_hint::in_words(&lower));
        if status == Some(402) || spent::is_said(&self.words, &lower, after) {
            // Payment required, as every endpoint should say.
            return Failure::Spent { status: status.unwrap_or(402), message: plain };
        }
        let limited = is(&["rate_limit", "too_many_requests", "resource_exhausted", "ratelimit"]);
        if status == Some(429) || (limited && !matches!(status, Some(400..=428))) {
            return Failure::Busy { reason: WaitReason::RateLimit, message: said(status), after };
        }
        let overloaded = is(&["overloaded", "unavailable"]) || lower.contains("overloaded");
        if matches!(status, Some(502 | 503 | 504 | 529))
            || (overloaded && !matches!(status, Some(400..=499)))
        {
            return Failure::Busy { reason: WaitReason::Unavailable, message: said(status), after };
        }
        let stated = status.or_else(|| refusal_by_word(&is));
        match stated {
            None | Some(408 | 409 | 425 | 500..) => Failure::transient(said(stated)),
            Some(status) => Failure::Refused { status, message: plain },
        }
    }
}

/// The status that a word of an error means which has no status.
fn refusal_by_word(is: &impl Fn(&[&str]) -> bool) -> Option<u16> {
    let known: [(&[&str], u16); 4] = [
        (&["authentication", "invalid_api_key", "unauthenticated", "unauthorized"], 401),
        (&["permission", "forbidden"], 403),
        (&["not_found"], 404),
        (
            &["invalid_request", "invalid_argument", "badrequest", "bad_request", "invalid_prompt"],
            400,
        ),
    ];
    known.iter().find(|(words, _)| is(words)).map(|(_, status)| *status)
}

/// Its words, and those of whom it passes on.
fn message(value: &Value, inner: &Value) -> String {
    const NAMES: [&str; 7] =
        ["message", "msg", "detail", "error_msg", "status_msg", "error_description", "title"];
    let text = |value: &Value| {
        NAMES.iter().find_map(|name| match value.get(name)? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Array(list) if !list.is_empty() => Some(Value::Array(list.clone()).to_string()),
            _ => None,
        })
    };
    let mut message = match (inner.as_str(), text(inner), text(value)) {
        (Some(short), _, Some(long)) => format!("{short}: {long}"),
        (Some(short), _, None) => short.to_owned(),
        (None, Some(said), _) | (None, None, Some(said)) => said,
        (None, None, None) => inner.to_string(),
    };
    if let Some(raw) = inner.pointer("/metadata/raw").and_then(Value::as_str) {
        message = format!("{message}: {raw}");
    }
    let param = inner.get("param").and_then(Value::as_str);
    match param.filter(|param| !message.contains(param)) {
        Some(param) => format!("{message} ({param})"),
        None => message,
    }
}

fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(entries) => entries.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn failure(status: Option<u16>, body: &Value) -> Failure {
        EndpointError::of(body).failure(status, None)
    }

    #[test]
    fn only_what_may_pass_is_asked_again() {
        for status in [408, 409, 425, 500, 501, 520] {
            let failure = EndpointError::text("").failure(Some(status), None);
            assert!(matches!(failure, Failure::Transient { .. }), "{status}");
        }
        for status in [429, 502, 503, 504, 529] {
            let failure = EndpointError::text("").failure(Some(status), None);
            assert!(matches!(failure, Failure::Busy { .. }), "{status}");
        }
        for status in [201, 301, 307, 400, 401, 403, 404, 422] {
            let failure = EndpointError::text("").failure(Some(status), None);
            assert!(matches!(failure, Failure::Refused { status: is, .. } if is == status));
        }
    }

    #[test]
    fn an_error_in_any_shape_keeps_its_words() {
        for answer in [
            json!({"error": {"message": "no luck", "code": 503}}),
            json!({"error": "no luck"}),
            json!([{"error": {"message": "no luck"}}]),
            json!({"object": "error", "message": "no luck"}),
            json!({"type": "error", "error": {"type": "api_error", "message": "no luck"}}),
            json!({"detail": "no luck"}),
            json!({"msg": "no luck", "code": "1113"}),
            json!({"errors": [{"message": "no luck", "code": 10000}], "success": false}),
            json!({"choices": null, "base_resp": {"status_code": 1002, "status_msg": "no luck"}}),
            json!({"error": {"message": "Provider returned error", "metadata": {"raw": "no luck"}}}),
            json!({"detail": [{"loc": ["body"], "msg": "no luck"}]}),
            json!({"error": "Bad Request", "message": "no luck"}),
        ] {
            let fault =
                EndpointError::within(&answer).unwrap_or_else(|| panic!("{answer} is an error"));
            assert!(fault.failure(None, None).message().contains("no luck"), "{answer}");
        }
        for answer in [
            json!({"choices": [], "error": null}),
            json!({"choices": [{"delta": {"content": "x"}}], "message": "fine"}),
            json!({"type": "ping"}),
            json!({"id": "1", "error": {}}),
            json!({"base_resp": {"status_code": 0, "status_msg": "success"}, "choices": []}),
        ] {
            assert!(EndpointError::within(&answer).is_none(), "{answer} is none");
        }
    }

    #[test]
    fn what_cannot_get_better_is_told_from_what_can() {
        let quota = json!({"error": {"message": "quota", "code": "insufficient_quota"}});
        assert!(matches!(failure(Some(429), &quota), Failure::Spent { status: 429, .. }));
        assert!(matches!(failure(None, &quota), Failure::Spent { status: 402, .. }));
        for (status, body) in [
            (
                400,
                json!({"type": "error", "error": {"type": "invalid_request_error", "message":
                "Your credit balance is too low to access the Anthropic API."}}),
            ),
            (400, json!({"error": {"code": "Arrearage", "message": "Access denied."}})),
            (402, json!({"error": {"message": "Insufficient Balance"}})),
            (403, json!({"error": {"code": "insufficient_user_quota", "message": "x"}})),
            (429, json!({"error": {"type": "exceeded_current_quota_error", "message": "x"}})),
            (429, json!({"error": {"message": "You exceeded your current quota."}})),
            (500, json!({"error": {"message": "insufficient funds"}})),
        ] {
            let failure = failure(Some(status), &body);
            assert!(matches!(failure, Failure::Spent { status: is, .. } if is == status), "{body}");
        }
        let gemini = json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED",
            "message": "You exceeded your current quota. Please retry in 34.5s."}});
        assert!(matches!(failure(Some(429), &gemini), Failure::Busy { after: Some(after), .. }
            if after == Duration::from_millis(34_500)));
        let busy = json!({"type": "error", "error": {"type": "overloaded_error", "message": "x"}});
        assert!(matches!(failure(None, &busy), Failure::Busy { .. }));
        let key = json!({"error": {"type": "authentication_error", "message": "x"}});
        assert!(matches!(failure(None, &key), Failure::Refused { status: 401, .. }));
        let died = json!({"error": {"message": "died"}});
        assert!(matches!(failure(None, &died), Failure::Transient { .. }));
    }
}
