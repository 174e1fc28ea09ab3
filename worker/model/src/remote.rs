//! An endpoint, of either kind: attempts, failures and patience.
//!
//! | Module | Owns |
//! |---|---|
//! | `endpoint` | where it is |
//! | `key` | its key, which is never shown |
//! | `sending` | what of a request goes to it, and how |
//! | `connection` | one HTTP connection a call, under a permit of kind `model` |
//! | `call` | one attempt |
//! | `answer` | from bytes to chunks |
//! | `attachments` | what of them is shown, and which a refusal is about |
//! | `endpoint_error`, `too_long`, `wait_hint` | an error as endpoints word it, and what it means |
//! | `failure`, `turn_error` | why an attempt failed, and how a turn is told |
//! | `pauses`, `attempts` | whether and when it is asked again |
//! | `outage` | whether it is out of reach just now |
//! | `learning` | what a refusal teaches |
//! | `window` | what the endpoint says of itself |
//!
//! One connection a call, closed with it. Redirects are not followed and proxies of the
//! environment are not used: the key goes where the configuration says, and nowhere else.

mod answer;
mod attachments;
mod attempts;
mod call;
mod connection;
mod endpoint;
mod endpoint_error;
mod failure;
mod fuzzing;
mod key;
mod learning;
mod outage;
mod pauses;
mod sending;
mod too_long;
mod turn_error;
mod wait_hint;
mod window;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use evonic_domain::{Item, ModelFacts, Price, WaitReason};
use evonic_handles::Budget;
use evonic_net::{Connector, TlsConnector, TlsError};
use evonic_shared::{config, config::ModelKind};
use http::{HeaderName, HeaderValue};

pub use self::sending::MAX_TEXT_BYTES;
pub(crate) use self::{
    answer::{Added, Answer, Assembly, Finished, Terms},
    failure::Failure,
    fuzzing::{messages_answer, openai_answer},
    sending::{Inlined, Sending, in_words, is_document},
};
use self::{endpoint::Endpoint, key::Key, outage::Outage, window::NextQuestion};
use crate::{
    ModelError, Reply, Request, SetupError, anthropic,
    body::{JsonWriter, RequestBody},
    facts::Facts,
    history, openai,
    request::Sink,
};

/// The name under which it is learnt that an endpoint takes no images.
const IMAGES: &str = "images";

/// One configured endpoint.
#[derive(Debug)]
pub struct Remote {
    name: String,
    settings: config::Model,
    endpoint: Endpoint,
    /// [`crate::Model::endpoint`].
    identity: String,
    connector: Connector,
    budget: Budget,
    key: Option<Key>,
    headers: Vec<(HeaderName, HeaderValue)>,
    facts: Facts,
    next_question: NextQuestion,
    outage: Outage,
}

impl Remote {
    /// Reads the key; asks for the certificates to trust if the endpoint is reached by `https`.
    /// Opens no connection.
    ///
    /// # Errors
    /// [`ModelError::Key`], [`ModelError::Setup`].
    pub(super) fn new(
        name: &str,
        settings: &config::Model,
        budget: &Budget,
        facts: Facts,
        tls: impl FnOnce() -> Result<TlsConnector, TlsError>,
    ) -> Result<Self, ModelError> {
        let setup = |source: SetupError| ModelError::Setup { model: name.to_owned(), source };
        let config::Model { kind, base_url, query, model, .. } = settings;
        let endpoint =
            Endpoint::new(base_url, *kind, query).map_err(|error| setup(error.into()))?;
        let tls = endpoint.secure.then(tls).transpose().map_err(|error| setup(error.into()))?;
        let key_header = settings.key_header.as_deref().or(match kind {
            ModelKind::OpenAi => None,
            ModelKind::Anthropic => Some(anthropic::KEY_HEADER),
        });
        let key = settings.key.as_ref().map(|source| Key::read(name, source, key_header));
        let headers = headers(settings).map_err(|error| setup(error.into()))?;
        let connector = Connector {
            peer: endpoint.peer.clone(),
            tls,
            keepalive: None,
            limit: settings.connect_timeout,
        };
        Ok(Self {
            name: name.to_owned(),
            settings: settings.clone(),
            identity: endpoint::identity(*kind, base_url, query, model),
            endpoint,
            connector,
            budget: budget.clone(),
            key: key.transpose()?,
            headers,
            facts,
            next_question: NextQuestion::default(),
            outage: Outage::default(),
        })
    }

    /// See [`super::Model::reply`].
    pub(super) async fn reply(
        &self,
        request: &Request,
        sink: &mut Sink<'_>,
    ) -> Result<Reply, ModelError> {
        let reply = attempts::reply(self, request, sink).await;
        match &reply {
            Ok(_) => self.outage.end(),
            Err(
                ModelError::Unavailable { .. }
                | ModelError::Timeout { .. }
                | ModelError::Later { reason: WaitReason::Unavailable, .. },
            ) => self.outage.begin(),
            Err(_) => {}
        }
        reply
    }

    /// Whether it did not answer a moment ago.
    pub(super) fn is_out_of_reach(&self) -> bool {
        self.outage.is_under_way()
    }

    /// Where replies are asked for.
    pub(super) fn address(&self) -> String {
        self.endpoint.address(&self.endpoint.path)
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.identity
    }

    pub(super) const fn settings(&self) -> &config::Model {
        &self.settings
    }

    fn known(&self) -> ModelFacts {
        self.facts.of(&self.identity)
    }

    pub(super) fn window(&self) -> Option<u64> {
        self.settings.context_tokens.or_else(|| self.known().window)
    }

    pub(super) fn max_output_tokens(&self) -> Option<u32> {
        self.settings.max_tokens.or(match self.settings.kind {
            ModelKind::OpenAi => None,
            ModelKind::Anthropic => Some(anthropic::DEFAULT_MAX_TOKENS),
        })
    }

    pub(super) const fn price(&self) -> Price {
        let config::Model { price_input, price_cached, price_cache_write, price_output, .. } =
            self.settings;
        Price {
            input: price_input,
            cached: price_cached,
            cache_write: price_cache_write,
            output: price_output,
        }
    }

    pub(super) fn eyes(&self) -> bool {
        let refused = || self.known().refused_fields.iter().any(|field| field == IMAGES);
        self.settings.images.unwrap_or_else(|| !refused())
    }

    /// The body that asks for a reply.
    async fn body(&self, request: &Request) -> Result<RequestBody, Failure> {
        let kind = self.settings.kind;
        let write = |sending: &Sending<'_>, json: &mut JsonWriter| match kind {
            ModelKind::OpenAi => openai::write(request, sending, json),
            ModelKind::Anthropic => anthropic::write(request, sending, true, json),
        };
        self.written(request, write).await
    }

    /// A body, written with what is known of the endpoint now.
    async fn written(
        &self,
        request: &Request,
        write: impl FnOnce(&Sending<'_>, &mut JsonWriter) + Send,
    ) -> Result<RequestBody, Failure> {
        let texts = self.texts(request).await?;
        let facts = self.known();
        let sending = Sending {
            settings: &self.settings,
            endpoint: &self.identity,
            facts: &facts,
            eyes: self.eyes(),
            window: self.window(),
            has_blobs: request.blobs.is_some(),
            withheld: &request.withheld,
            texts: &texts,
        };
        let mut json = JsonWriter::default();
        write(&sending, &mut json);
        Ok(json.finish(request.blobs.clone()))
    }

    /// An answer that has not begun.
    fn answer(&self, request: &Request) -> Answer {
        let limit = self.settings.max_reply_bytes as usize;
        let names = history::sent_names(request).into_iter();
        let terms = Terms {
            limit,
            taken: call_ids(&request.items).map(str::to_owned).collect(),
            tools: names.map(|(real, sent)| (sent.into_owned(), real.to_owned())).collect(),
            window: self.window(),
        };
        let assembly = match self.settings.kind {
            ModelKind::OpenAi => Assembly::OpenAi(openai::Assembly::new(terms)),
            ModelKind::Anthropic => Assembly::Anthropic(anthropic::Assembly::new(terms)),
        };
        Answer::new(assembly, limit)
    }
}

/// Headers beside those of every request.
fn headers(
    settings: &config::Model,
) -> Result<Vec<(HeaderName, HeaderValue)>, crate::AddressError> {
    let own = match settings.kind {
        ModelKind::OpenAi => None,
        ModelKind::Anthropic => Some(anthropic::VERSION_HEADER),
    };
    let mut headers = Vec::new();
    for line in settings.headers.iter().map(String::as_str).chain(own) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let name: HeaderName = name.trim().parse()?;
        // A version that is configured takes the place of the built-in one.
        if !headers.iter().any(|(known, _)| *known == name) {
            headers.push((name, HeaderValue::from_str(value.trim())?));
        }
    }
    Ok(headers)
}

/// The ids of every call in a transcript.
fn call_ids(items: &[Item]) -> impl Iterator<Item = &str> {
    let calls = items.iter().filter_map(|item| match item {
        Item::Assistant { tool_calls, .. } => Some(tool_calls),
        Item::User { .. }
        | Item::Summary { .. }
        | Item::LeftOut { .. }
        | Item::ToolResult { .. } => None,
    });
    calls.flatten().map(|call| call.id.as_str())
}
