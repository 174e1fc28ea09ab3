//! An OpenAI-compatible Chat Completions endpoint, streamed.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Delta, ModelError, Reply, Request};

/// One configured endpoint.
#[derive(Debug)]
pub struct OpenAi {
    _private: (),
}

impl OpenAi {
    /// See [`super::Model::reply`].
    pub(super) async fn reply(
        &self,
        request: Request,
        deltas: mpsc::Sender<Delta>,
        cancel: &CancellationToken,
    ) -> Result<Reply, ModelError> {
        let _ = (request, deltas, cancel);
        todo!()
    }
}
