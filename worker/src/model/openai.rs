//! An OpenAI-compatible Chat Completions endpoint, streamed.

use evonic_shared::config;
use tokio::sync::mpsc;

use super::{Delta, ModelError, Reply, Request};
use crate::handles::Budget;

/// One configured endpoint.
#[derive(Debug)]
pub struct OpenAi {
    _private: (),
}

impl OpenAi {
    pub(super) fn new(
        name: &str,
        settings: &config::OpenAi,
        budget: &Budget,
    ) -> Result<Self, ModelError> {
        let _ = (name, settings, budget);
        todo!()
    }

    /// See [`super::Model::reply`].
    pub(super) async fn reply(
        &self,
        request: &Request,
        deltas: &mpsc::Sender<Delta>,
    ) -> Result<Reply, ModelError> {
        let _ = (request, deltas);
        todo!()
    }
}
