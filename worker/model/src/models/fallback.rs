//! Whom to ask when a model does not answer.

use std::{collections::BTreeMap, time::Duration};

use evonic_domain::WaitReason;
use evonic_shared::{config, error_chain::ErrorChain};

use super::{Model, Models};
use crate::{ModelError, Reply, Request, Tried, request::Sink};

/// A wait that is longer is left to the models that a model falls back on.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

impl Models {
    /// Asks one after the other; those that were out of reach a moment ago come last.
    pub(super) async fn ask_in_order(
        &self,
        order: &[String],
        mut request: Request,
        sink: &mut Sink<'_>,
    ) -> Result<Reply, ModelError> {
        let mut left = request.tried;
        let mut asked = Vec::with_capacity(order.len());
        for (name, model) in order.iter().filter_map(|name| self.models.get_key_value(name)) {
            asked.push((name, model, left));
            left = model.left_of(left);
        }
        asked.sort_by_key(|(_, model, _)| model.is_out_of_reach());
        let mut failed: Option<ModelError> = None;
        for (name, model, tried) in asked {
            if let Some(error) = &failed {
                let reason = ErrorChain(error).to_string();
                tracing::warn!(model = order[0], fallback = name, reason, "model falls back");
                sink.retract("another model is asked").await;
            }
            request.tried = tried;
            let error = match model.ask(&request, sink).await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            failed = match failed {
                None if !may_fall_back(&error) => return Err(error),
                None => Some(error),
                Some(first) => Some(better(first, error)),
            };
        }
        Err(failed.expect("an order has the model itself"))
    }
}

impl Model {
    /// What of earlier attempts is left for the model that is asked after this one: what goes
    /// beyond the patience and the retries of this one.
    fn left_of(&self, tried: Tried) -> Tried {
        let Some(config::Model { patience, retries, .. }) = self.settings() else { return tried };
        Tried {
            faults: tried.faults.saturating_sub(*retries),
            since: tried.since.saturating_sub(*patience),
        }
    }
}

/// A model, those it falls back on, and theirs: each once, the nearer first.
pub(super) fn order(configured: &BTreeMap<String, config::Model>, name: &str) -> Vec<String> {
    let mut order = vec![name.to_owned()];
    let mut next = 0;
    while next < order.len() {
        let fallback = configured.get(&order[next]).map_or(&[][..], |model| &model.fallback);
        for name in fallback {
            if !order.contains(name) {
                order.push(name.clone());
            }
        }
        next += 1;
    }
    order
}

/// Whether another model may do better. What is wrong with the request is wrong for all.
fn may_fall_back(error: &ModelError) -> bool {
    match error {
        ModelError::Key { .. }
        | ModelError::Setup { .. }
        | ModelError::Unusable(_)
        | ModelError::Unavailable { .. }
        | ModelError::Protocol { .. }
        | ModelError::Timeout { .. }
        | ModelError::Incomplete { .. } => true,
        ModelError::Later { reason: WaitReason::Unavailable, .. } | ModelError::Spent { .. } => {
            true
        }
        ModelError::Later { after, .. } => *after > LONGEST_WAIT,
        ModelError::Refused { status, .. } => matches!(status, 401..=404 | 429),
        ModelError::TooLong { .. }
        | ModelError::ReplyTooLarge { .. }
        | ModelError::Attachment { .. }
        | ModelError::Exhausted(_)
        | ModelError::Cancelled => false,
    }
}

/// The error that says most of what to do: to come back soonest, else the first one.
fn better(first: ModelError, next: ModelError) -> ModelError {
    match (&first, &next) {
        (ModelError::Later { after: first_after, .. }, ModelError::Later { after, .. })
            if after < first_after =>
        {
            next
        }
        (ModelError::Later { .. }, _) => first,
        (_, ModelError::Later { .. }) => next,
        _ => first,
    }
}
