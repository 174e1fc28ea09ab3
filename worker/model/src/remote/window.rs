//! What an endpoint says of itself: its window, and how many tokens a request has.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::{sync::Mutex, time::Instant};

use super::{Failure, Remote, Sending, call};
use crate::{Request, anthropic, body::JsonWriter};

/// The most bytes of a list of models: some have thousands.
const MAX_LIST_BYTES: usize = 4 * 1024 * 1024;

/// The most bytes of a count.
const MAX_COUNT_BYTES: usize = 64 * 1024;

/// How long an endpoint may take for either.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How long a window that is known is not asked for again: the endpoint may have been started anew
/// with another one.
const AGAIN: Duration = Duration::from_secs(60 * 60);

/// How long an endpoint that did not answer is not asked again: each question holds up a turn.
const PAUSE: Duration = Duration::from_secs(600);

/// Fields of a model that are its window: of llama.cpp, vLLM, OpenRouter, Mistral, Groq.
const FIELDS: [&str; 6] = [
    "/meta/n_ctx",
    "/max_model_len",
    "/context_length",
    "/max_context_length",
    "/context_window",
    "/max_input_tokens",
];

/// When an endpoint is next asked for its window; at once where nobody has asked yet.
#[derive(Debug, Default)]
pub(super) struct NextQuestion(Mutex<Option<Instant>>);

impl NextQuestion {
    fn is_due(next: Option<Instant>) -> bool {
        next.is_none_or(|next| next <= Instant::now())
    }
}

impl Remote {
    /// See [`crate::Model::find_window`]. One that is known is asked for again after [`AGAIN`], an
    /// endpoint out of reach after [`PAUSE`].
    pub(crate) async fn find_window(&self) -> Option<u64> {
        let NextQuestion(next) = &self.next_question;
        let known = self.window();
        if self.settings.context_tokens.is_some() {
            return known;
        }
        // Who knows one does not wait for another turn's question.
        let mut next = match known {
            Some(_) => match next.try_lock() {
                Ok(next) => next,
                Err(_) => return known,
            },
            None => next.lock().await,
        };
        if NextQuestion::is_due(*next) {
            *next = Some(Instant::now() + self.refresh_window().await);
        }
        self.window()
    }

    /// Asks the endpoint for its window; how long it need not be asked again.
    pub(crate) async fn refresh_window(&self) -> Duration {
        let listed = match self.ask_window().await {
            Ok(listed) => listed,
            Err(Failure::Refused { .. } | Failure::Protocol { .. }) => None,
            Err(failure) => {
                let reason = self.clean(failure.message());
                tracing::debug!(model = self.name, reason, "window cannot be asked for");
                return PAUSE;
            }
        };
        self.facts.learn_listed(&self.identity, listed, Timestamp::now());
        AGAIN
    }

    async fn ask_window(&self) -> Result<Option<u64>, Failure> {
        let path = &self.endpoint.models_path;
        let list = call::fetch(self, path, None, MAX_LIST_BYTES, TIMEOUT).await?;
        let list = serde_json::from_slice::<Value>(&list)
            .map_err(|error| Failure::protocol(error.to_string()))?;
        Ok(window(&list, &self.settings.model))
    }

    /// See [`crate::Model::count_tokens`].
    pub(crate) async fn count_tokens(&self, request: &Request) -> Option<u64> {
        let path = self.endpoint.count_path.as_ref()?;
        let write = |sending: &Sending<'_>, json: &mut JsonWriter| {
            anthropic::write(request, sending, false, json);
        };
        let body = self.written(request, write).await.ok()?;
        let count = call::fetch(self, path, Some(body), MAX_COUNT_BYTES, TIMEOUT).await.ok()?;
        serde_json::from_slice::<Value>(&count).ok()?.get("input_tokens")?.as_u64()
    }
}

/// The window of a model in a list; of the only one where its name is another.
fn window(list: &Value, model: &str) -> Option<u64> {
    let entries = list.get("data").or_else(|| list.get("models"))?.as_array()?;
    let named = |entry: &&Value| {
        ["id", "name", "model"].iter().any(|name| entry.get(name).is_some_and(|id| id == model))
    };
    let entry = match entries.iter().find(named) {
        Some(entry) => entry,
        None if entries.len() == 1 => &entries[0],
        None => return None,
    };
    let found = FIELDS.iter().find_map(|field| entry.pointer(field)?.as_u64());
    found.filter(|window| *window > 0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_window_is_found_as_each_server_lists_it() {
        for (entry, expected) in [
            (json!({"id": "m", "meta": {"n_ctx": 4096, "n_ctx_train": 8192}}), Some(4096)),
            (json!({"id": "m", "max_model_len": 32768}), Some(32768)),
            (json!({"id": "m", "context_length": 131_072}), Some(131_072)),
            (json!({"id": "m", "meta": {"n_ctx_train": 8192}}), None),
            (json!({"id": "m", "max_model_len": "long"}), None),
        ] {
            assert_eq!(window(&json!({"data": [entry.clone()]}), "m"), expected);
            assert_eq!(
                window(&json!({"data": [entry.clone()]}), "other"),
                expected,
                "the only one"
            );
            let two = json!({"data": [{"id": "n", "max_model_len": 1}, entry]});
            assert_eq!(window(&two, "m"), expected);
            assert_eq!(window(&two, "other"), None);
        }
        for odd in [json!([]), json!({"data": {}}), json!({"data": [5, null]}), json!(null)] {
            assert_eq!(window(&odd, "m"), None);
        }
    }
}
