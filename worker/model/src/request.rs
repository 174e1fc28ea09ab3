//! What a model is asked, and what it replies.

use std::{collections::HashSet, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use evonic_domain::{Carried, Item, ModelCall, ToolCall, ToolSpec, Usage};
use serde_json::Value;
use tokio::sync::mpsc;

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
    /// Attachments, by their hashes, that are told of and not shown.
    pub withheld: Arc<HashSet<String>>,
    /// How the endpoint was asked for this reply before.
    pub tried: Tried,
    /// Whether it only finds out if the model works: then a host that nobody knows is waited for by
    /// no retry.
    pub checks: bool,
}

/// Attempts before this one, by whichever worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// Those that a fault of the endpoint's ended: waits for one that is busy are none.
    pub faults: u32,
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
    /// A call took this and became no reply.
    Spent(ModelCall),
}

/// Where the pieces of a reply go, and whether any went since the last were taken back.
pub(crate) struct Sink<'a> {
    deltas: &'a mpsc::Sender<Delta>,
    sent: bool,
}

impl<'a> Sink<'a> {
    pub(crate) const fn new(deltas: &'a mpsc::Sender<Delta>) -> Self {
        Self { deltas, sent: false }
    }

    pub(crate) async fn text(&mut self, text: String) {
        if !text.is_empty() {
            self.send(Delta::Text(text)).await;
        }
    }

    pub(crate) async fn reasoning(&mut self, text: String) {
        if !text.is_empty() {
            self.send(Delta::Reasoning(text)).await;
        }
    }

    /// Takes the pieces back, if there are any.
    pub(crate) async fn retract(&mut self, reason: &str) {
        if std::mem::take(&mut self.sent) {
            let _ = self.deltas.send(Delta::Retract { reason: reason.to_owned() }).await;
        }
    }

    /// Tells what a call took that became no reply.
    pub(crate) async fn spent(&mut self, call: ModelCall) {
        let _ = self.deltas.send(Delta::Spent(call)).await;
    }

    async fn send(&mut self, delta: Delta) {
        self.sent = true;
        // Without a listener the reply is the same.
        let _ = self.deltas.send(delta).await;
    }
}
