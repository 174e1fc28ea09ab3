//! What answers a turn: OpenAI-compatible endpoints, and the embedded runbook.
//!
//! A model is a function from a transcript to a reply: text and tool calls. It keeps no state
//! between replies, so any worker can ask it for the next one.
//!
//! | Module | Owns |
//! |---|---|
//! | `openai` | Chat Completions, streamed, with retries |
//! | `connection` | one HTTP connection a call, under a permit of kind `model` |
//! | `runbook` | the embedded model: a parser of steps, without I/O |
//! | `error` | why a model did not reply |
//!
//! Has no database and no tools: it names the tools that a turn calls, and runs none.

mod connection;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod openai;
mod runbook;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use evonic_shared::config;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use error::{AddressError, ModelError, SetupError};
pub use openai::OpenAi;
pub use runbook::Runbook;

use evonic_domain::{Carried, Item, ToolCall, ToolSpec, Usage};
use evonic_handles::Budget;
use evonic_net::{Authorities, TlsConnector, TlsError};

#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The agent's instructions; may be empty.
    pub instructions: String,
    /// The transcript, oldest first; the last item is a user's or a tool result.
    pub items: Arc<Vec<Item>>,
    /// The tools it may call.
    pub tools: Vec<ToolSpec>,
    /// JSON Schema that the text of the reply must fit, if it must.
    pub response_schema: Option<Value>,
    /// The most tokens of the reply, where it is to be shorter than the model's own limit.
    pub max_output_tokens: Option<u32>,
    /// Where the contents of attachments are.
    pub blobs: Option<Arc<dyn Blobs>>,
    /// How often the endpoint was asked for this reply before, and for how long.
    pub tried: Tried,
}

/// Attempts before this one, by whichever worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    pub attempts: u32,
    /// Since the first one.
    pub since: Duration,
}

/// Contents of attachments.
#[async_trait]
pub trait Blobs: fmt::Debug + Send + Sync {
    /// A piece of a content from this byte on; empty at its end.
    ///
    /// # Errors
    /// Why it cannot be read.
    async fn read(&self, sha256: &str, offset: u64) -> Result<Bytes, String>;
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// Its text; may be empty when there are calls.
    pub text: String,
    /// The calls it asks for, in order; each with an id unique within the turn.
    pub tool_calls: Vec<ToolCall>,
    /// Zero where the endpoint does not count.
    pub usage: Usage,
    /// What goes back to the endpoint as it came.
    pub carried: Option<Carried>,
    /// The configured name of the model that made it: another one's where it fell back.
    pub model: String,
    /// Of its tokens, in pico-units.
    pub cost: u64,
}

/// What comes while a reply is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delta {
    /// A piece of its text.
    Text(String),
    /// A piece of its reasoning, which is no part of the reply.
    Reasoning(String),
    /// The pieces so far are void: the call broke and is made again.
    Retract {
        /// Why.
        reason: String,
    },
}

/// A model under its configured name.
#[derive(Debug)]
pub enum Model {
    /// The embedded default.
    Runbook(Runbook),
    /// An OpenAI-compatible endpoint.
    OpenAi(Box<OpenAi>),
    /// An endpoint that cannot be set up, and why. It refuses each turn with that; the other
    /// models work on.
    Unusable(Arc<ModelError>),
}

impl Model {
    /// Whether it can be shown images.
    #[must_use]
    pub const fn eyes(&self) -> bool {
        !matches!(self, Model::Runbook(_))
    }

    /// Asks for the next reply. Pieces of text go to `deltas` as they come; the channel is
    /// bounded, so a slow reader slows the model. Ends at once, with its connection closed, when
    /// `cancel` fires or the future is dropped.
    ///
    /// Retries the transient only, as configured, and takes `models.NAME.timeout` in all at the
    /// most. Holds at most one `model` permit.
    ///
    /// # Errors
    /// [`ModelError`].
    pub async fn reply(
        &self,
        request: Request,
        deltas: mpsc::Sender<Delta>,
        cancel: &CancellationToken,
    ) -> Result<Reply, ModelError> {
        let reply = async {
            match self {
                Model::Runbook(model) => model.reply(&request, &deltas).await,
                Model::OpenAi(model) => model.reply(&request, &deltas).await,
                Model::Unusable(error) => Err(ModelError::Unusable(Arc::clone(error))),
            }
        };
        cancel.run_until_cancelled(reply).await.unwrap_or(Err(ModelError::Cancelled))
    }
}

/// Every configured model by name, and `runbook`.
#[derive(Clone, Debug)]
pub struct Models {
    models: Arc<BTreeMap<String, Model>>,
}

impl Models {
    /// Makes every configured model; reads their keys, and the system's certificates if one of
    /// them is reached by `https`. Opens no connection and keeps no file open.
    ///
    /// A key that cannot be read, or certificates that are not installed, are logged and cost
    /// that model alone: a mistake in one entry does not stop the service.
    #[must_use]
    pub fn new(configured: &BTreeMap<String, config::OpenAi>, budget: &Budget) -> Self {
        let mut models = BTreeMap::from([(Runbook::NAME.to_owned(), Model::Runbook(Runbook))]);
        // What the system trusts is read at most once, and only if an endpoint needs it.
        let mut trust = None;
        let mut tls = || -> Result<TlsConnector, TlsError> {
            match &trust {
                Some(tls) => Ok(TlsConnector::clone(tls)),
                None => {
                    let tls = evonic_net::client(Authorities::system()?, None)?;
                    Ok(trust.insert(tls).clone())
                }
            }
        };
        for (name, settings) in configured {
            let model = match OpenAi::new(name, settings, budget, &mut tls) {
                Ok(model) => Model::OpenAi(Box::new(model)),
                Err(error) => {
                    let cause = &error as &dyn std::error::Error;
                    tracing::error!(model = name, error = cause, "model cannot be used");
                    Model::Unusable(Arc::new(error))
                }
            };
            models.insert(name.clone(), model);
        }
        Self { models: Arc::new(models) }
    }

    /// A model by name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Model> {
        self.models.get(name)
    }

    /// Every name, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.models.keys().map(String::as_str)
    }
}
