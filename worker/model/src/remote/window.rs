//! What an endpoint says of itself: its window, and how many tokens a request has.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{Failure, Remote, Sending, call};
use crate::{Request, anthropic, body::JsonWriter};

/// The most bytes of a list of models: some have thousands.
const MAX_LIST_BYTES: usize = 4 * 1024 * 1024;

/// The most bytes of a count.
const MAX_COUNT_BYTES: usize = 64 * 1024;

/// How long an endpoint may take for either.
const TIMEOUT: Duration = Duration::from_secs(5);

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

impl Remote {
    /// See [`crate::Model::find_window`]. An endpoint out of reach is asked again after [`PAUSE`].
    pub(crate) async fn find_window(&self) -> Option<u64> {
        if let Some(window) = self.window() {
            return Some(window);
        }
        // One asks at a time: who waited for it asks no more where it got no answer.
        let asked = self.told_window.get_or_try_init(|| async {
            let failed = *lock(&self.window_failed);
            if failed.is_some_and(|failed| failed.elapsed() < PAUSE) {
                return Err(());
            }
            let failure = match self.ask_window().await {
                Ok(window) => return Ok(window),
                Err(Failure::Refused { .. } | Failure::Protocol { .. }) => return Ok(None),
                Err(failure) => failure,
            };
            *lock(&self.window_failed) = Some(Instant::now());
            let reason = self.clean(failure.message());
            tracing::debug!(model = self.name, reason, "window cannot be asked for");
            Err(())
        });
        match asked.await {
            Ok(Some(window)) => {
                self.facts.learn_window(&self.identity, *window);
                Some(*window)
            }
            Ok(None) | Err(()) => None,
        }
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
        let texts = self.texts(request).await.ok()?;
        let facts = self.known();
        let sending = Sending {
            settings: &self.settings,
            endpoint: &self.identity,
            facts: &facts,
            eyes: self.eyes(),
            has_blobs: request.blobs.is_some(),
            withheld: &request.withheld,
            texts: &texts,
        };
        let mut json = JsonWriter::default();
        anthropic::write(request, &sending, false, &mut json);
        let body = json.finish(request.blobs.clone());
        let count = call::fetch(self, path, Some(body), MAX_COUNT_BYTES, TIMEOUT).await.ok()?;
        serde_json::from_slice::<Value>(&count).ok()?.get("input_tokens")?.as_u64()
    }
}

fn lock(failed: &Mutex<Option<Instant>>) -> MutexGuard<'_, Option<Instant>> {
    failed.lock().unwrap_or_else(PoisonError::into_inner)
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
