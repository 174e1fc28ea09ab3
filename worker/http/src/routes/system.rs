//! Descriptors, models, the API's document.

use std::sync::Arc;

use evonic_model::{Finding, Model};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    answer,
    call::Call,
    event_stream::stream_progress,
    problem::{Answer, Problem},
    state::ApiState,
};

/// OpenAPI 3.1. Tests compare it with the routes and their answers.
const DOCUMENT: &str = include_str!("../../../../docs/openapi.json");

pub(super) async fn handles(state: Arc<ApiState>, _call: Call) -> Answer {
    answer::ok(&json!({ "data": state.app.budget.usage() }))
}

pub(super) async fn models(state: Arc<ApiState>, _call: Call) -> Answer {
    let models = &state.app.models;
    let shown = models.names().filter_map(|name| Some(shown(name, models.get(name)?)));
    answer::ok(&json!({ "data": shown.collect::<Vec<_>>() }))
}

/// A model for whom may name it: without its address, which is the operator's.
fn shown(name: &str, model: &Model) -> Value {
    let settings = model.settings();
    json!({
        "name": name,
        "kind": settings.map_or(name, |settings| settings.kind.name()),
        "model": settings.map(|settings| &settings.model),
        "usable": !matches!(model, Model::Unusable(_)),
        "window": model.window(),
        "fallback": settings.map_or(&[][..], |settings| &settings.fallback),
    })
}

/// Tries a model as the service reaches it. Streams each finding; `done` says whether turns work.
pub(super) async fn check_model(state: Arc<ApiState>, call: Call) -> Answer {
    let (models, name) = (state.app.models.clone(), call.id);
    if models.get(&name).is_none() {
        return Err(Problem::not_found(format!("no model {name}")));
    }
    stream_progress(&state, &call.caller, "finding", |findings| async move {
        let (sender, mut found) = tokio::sync::mpsc::channel::<Finding>(1);
        let forward = async {
            while let Some(finding) = found.recv().await {
                if findings.send(finding).await.is_err() {
                    break;
                }
            }
        };
        // The check ends with whom it is for: nobody else cancels it.
        let cancel = CancellationToken::new();
        let check = async {
            match models.get(&name) {
                Some(model) => model.check(sender, &cancel).await,
                None => false,
            }
        };
        let (ok, ()) = tokio::join!(check, forward);
        json!({ "ok": ok })
    })
}

/// Hosts and engines of workplaces that this worker used.
pub(super) async fn hosts(state: Arc<ApiState>, _call: Call) -> Answer {
    answer::ok(&json!({ "data": state.app.workplaces.hosts() }))
}

pub(super) async fn document(_state: Arc<ApiState>, _call: Call) -> Answer {
    Ok(answer::document(DOCUMENT))
}
