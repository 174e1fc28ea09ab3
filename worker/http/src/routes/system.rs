//! Descriptors, models, the API's document.

use std::sync::Arc;

use serde_json::json;

use crate::{answer, call::Call, problem::Answer, state::ApiState};

/// OpenAPI 3.1. Tests compare it with the routes and their answers.
const DOCUMENT: &str = include_str!("../../../../docs/openapi.json");

pub(super) async fn handles(state: Arc<ApiState>, _call: Call) -> Answer {
    answer::ok(&json!({ "data": state.app.budget.usage() }))
}

pub(super) async fn models(state: Arc<ApiState>, _call: Call) -> Answer {
    let names = state.app.models.names().map(|name| json!({ "name": name }));
    answer::ok(&json!({ "data": names.collect::<Vec<_>>() }))
}

/// Hosts and engines of workplaces that this worker used.
pub(super) async fn hosts(state: Arc<ApiState>, _call: Call) -> Answer {
    answer::ok(&json!({ "data": state.app.workplaces.hosts() }))
}

pub(super) async fn document(_state: Arc<ApiState>, _call: Call) -> Answer {
    Ok(answer::document(DOCUMENT))
}
