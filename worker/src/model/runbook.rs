//! The embedded default: a message is a runbook, a small language of steps. See `docs/runbook.md`.
//!
//! A pure function of the transcript: it parses the last user message, counts the tool results
//! since, and asks for the next step's tool call, or ends with a report.

use tokio::sync::mpsc;

use super::{Delta, ModelError, Reply, Request};

/// The runbook model. It has no state.
#[derive(Debug, Default)]
pub struct Runbook;

impl Runbook {
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
