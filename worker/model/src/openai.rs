//! An OpenAI-compatible Chat Completions endpoint, streamed.
//!
//! | File | What it holds |
//! |---|---|
//! | `endpoint` | where it is |
//! | `key` | its key, which is never shown |
//! | `message` | from a transcript to a request |
//! | `call` | one attempt |
//! | `chunk` | what it sends |
//! | `assembly` | from chunks to a reply |
//! | `stream` | from bytes to chunks |
//! | `failure` | why an attempt failed, and whether another may do better |
//! | `backoff` | how long to wait before that |
//!
//! One connection a call (`connection`), closed with it. Redirects are not followed and
//! proxies of the environment are not used: the key goes where the configuration says, and nowhere
//! else.

mod assembly;
mod backoff;
mod call;
mod chunk;
mod endpoint;
mod failure;
mod fuzzing;
mod key;
mod message;
mod stream;

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use evonic_shared::config;
use tokio::sync::mpsc;

pub(crate) use fuzzing::answer;

use self::{backoff::RetryPauses, call::Call, endpoint::Endpoint, failure::Failure, key::Key};
use super::{Delta, ModelError, Reply, Request, SetupError};
use evonic_domain::Item;
use evonic_handles::Budget;
use evonic_net::{Connector, TlsConnector, TlsError};

/// The most characters of a message of others that an error repeats.
const MAX_MESSAGE_CHARS: usize = 500;

/// One configured endpoint.
#[derive(Debug)]
pub struct OpenAi {
    name: String,
    settings: config::OpenAi,
    endpoint: Endpoint,
    connector: Connector,
    budget: Budget,
    key: Option<Key>,
    pauses: RetryPauses,
}

impl OpenAi {
    /// Reads the key; asks for the certificates to trust if the endpoint is reached by `https`.
    /// Opens no connection.
    ///
    /// # Errors
    /// [`ModelError::Key`], [`ModelError::Setup`].
    pub(super) fn new(
        name: &str,
        settings: &config::OpenAi,
        budget: &Budget,
        tls: impl FnOnce() -> Result<TlsConnector, TlsError>,
    ) -> Result<Self, ModelError> {
        let setup = |source: SetupError| ModelError::Setup { model: name.to_owned(), source };
        let endpoint = Endpoint::new(&settings.base_url).map_err(|error| setup(error.into()))?;
        let tls = endpoint.secure.then(tls).transpose().map_err(|error| setup(error.into()))?;
        let key = settings.key.as_ref().map(|source| Key::read(name, source)).transpose()?;
        let connector = Connector {
            peer: endpoint.peer.clone(),
            tls,
            keepalive: None,
            limit: settings.connect_timeout,
        };
        Ok(Self {
            name: name.to_owned(),
            settings: settings.clone(),
            endpoint,
            connector,
            budget: budget.clone(),
            key,
            pauses: RetryPauses::default(),
        })
    }

    /// See [`super::Model::reply`].
    pub(super) async fn reply(
        &self,
        request: &Request,
        deltas: &mpsc::Sender<Delta>,
    ) -> Result<Reply, ModelError> {
        let limit = self.settings.timeout;
        let reply = tokio::time::timeout(limit, self.attempts(request, deltas)).await;
        reply.unwrap_or_else(|_| Err(ModelError::Timeout { model: self.name.clone(), limit }))
    }

    async fn attempts(
        &self,
        request: &Request,
        deltas: &mpsc::Sender<Delta>,
    ) -> Result<Reply, ModelError> {
        let body = message::body(&self.settings, request);
        let taken = call_ids(&request.items);
        let mut pauses = self.pauses;
        let mut attempt = 1;
        loop {
            let mut call = Call { model: self, deltas, sent: false };
            let failure = match call.run(body.clone(), &taken).await {
                Ok(reply) => return Ok(Reply { model: self.name.clone(), ..reply }),
                Err(failure) => failure,
            };
            let (reason, asked) = match &failure {
                Failure::Transient { message, retry_after } if attempt <= self.settings.retries => {
                    (self.clean(message), *retry_after)
                }
                _ => return Err(self.error(failure, attempt)),
            };
            let pause = pauses.next(asked, fastrand::f64());
            let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(model = self.name, attempt, reason, pause_ms, "model call is repeated");
            if call.sent {
                // Without a listener the reply is the same.
                let _ = deltas.send(Delta::Retract { reason }).await;
            }
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    /// The error of a turn, after this many attempts.
    fn error(&self, failure: Failure, attempts: u32) -> ModelError {
        let model = self.name.clone();
        match failure {
            Failure::Exhausted(exhausted) => ModelError::Exhausted(exhausted),
            Failure::Transient { message, .. } | Failure::Unreachable { message } => {
                ModelError::Unavailable { model, attempts, message: self.clean(&message) }
            }
            Failure::Refused { status, message } => {
                ModelError::Refused { model, status, message: self.clean(&message) }
            }
            Failure::TooLarge { limit } => ModelError::ReplyTooLarge { model, limit },
            Failure::Protocol { message } => {
                ModelError::Protocol { model, message: self.clean(&message) }
            }
        }
    }

    /// A message of others as one short line without the key.
    fn clean(&self, message: &str) -> String {
        let message = match &self.key {
            Some(key) => key.redact(message),
            None => message.to_owned(),
        };
        let words = message.split(|c: char| c.is_whitespace() || c.is_control());
        let line = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        match line.char_indices().nth(MAX_MESSAGE_CHARS) {
            Some((end, _)) => format!("{}…", &line[..end]),
            None => line,
        }
    }
}

/// The ids of every call in a transcript.
fn call_ids(items: &[Item]) -> HashSet<&str> {
    let calls = items.iter().filter_map(|item| match item {
        Item::Assistant { tool_calls, .. } => Some(tool_calls),
        Item::User { .. }
        | Item::Summary { .. }
        | Item::LeftOut { .. }
        | Item::ToolResult { .. } => None,
    });
    calls.flatten().map(|call| call.id.as_str()).collect()
}
