//! Health, metrics, the ledger, the models, the API's document.

use std::sync::Arc;

use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use serde_json::json;
use warp::{Filter, reply::Response};

use super::{Site, with};
use crate::{
    call::{self, Call, Verb, call, respond},
    front::Routes,
    health,
    problem::{Answer, Problem},
};

/// The API in the words of OpenAPI 3.1. Tests hold it against the routes and their answers.
const DOCUMENT: &str = include_str!("../../../../docs/openapi.json");

/// `/livez`, `/readyz`, `/healthz`, `/metrics`, `/api/openapi.json`, `/api/v1/handles`,
/// `/api/v1/models`, `/api/v1/hosts`.
pub(super) fn routes(site: &Arc<Site>) -> Routes {
    let live = warp::path!("livez").and(call()).and(with(site)).then(live);
    let ready = warp::path!("readyz").and(call()).and(with(site)).then(ready);
    let health = warp::path!("healthz").and(call()).and(with(site)).then(healthy);
    let metrics = warp::path!("metrics").and(call()).and(with(site)).then(metrics);
    let handles = warp::path!("api" / "v1" / "handles").and(call()).and(with(site)).then(handles);
    let models = warp::path!("api" / "v1" / "models").and(call()).and(with(site)).then(models);
    let hosts = warp::path!("api" / "v1" / "hosts").and(call()).and(with(site)).then(hosts);
    let document = warp::path!("api" / "openapi.json").and(call()).and(with(site)).then(document);
    live.or(ready)
        .unify()
        .or(health)
        .unify()
        .or(metrics)
        .unify()
        .or(handles)
        .unify()
        .or(models)
        .unify()
        .or(hosts)
        .unify()
        .or(document)
        .unify()
        .boxed()
}

async fn live(call: Call, _site: Arc<Site>) -> Response {
    respond("/livez", read_only(&call).and_then(|()| health::live()))
}

async fn ready(call: Call, site: Arc<Site>) -> Response {
    respond("/readyz", readiness(&call, &site).await)
}

async fn healthy(call: Call, site: Arc<Site>) -> Response {
    respond("/healthz", readiness(&call, &site).await)
}

async fn readiness(call: &Call, site: &Site) -> Answer {
    read_only(call)?;
    health::ready(site).await
}

async fn metrics(call: Call, site: Arc<Site>) -> Response {
    let answer = match read_only(&call) {
        Ok(()) => health::metrics(&site).await,
        Err(problem) => Err(problem),
    };
    respond("/metrics", answer)
}

async fn handles(call: Call, site: Arc<Site>) -> Response {
    let list = || call::json(StatusCode::OK, &json!({ "data": site.app.budget.usage() }));
    respond("/api/v1/handles", read_only(&call).and_then(|()| list()))
}

async fn models(call: Call, site: Arc<Site>) -> Response {
    let list = || {
        let names: Vec<_> = site.app.models.names().map(|name| json!({ "name": name })).collect();
        call::json(StatusCode::OK, &json!({ "data": names }))
    };
    respond("/api/v1/models", read_only(&call).and_then(|()| list()))
}

/// Hosts and engines of workplaces that this worker used.
async fn hosts(call: Call, site: Arc<Site>) -> Response {
    let list = || call::json(StatusCode::OK, &json!({ "data": site.app.workplaces.hosts() }));
    respond("/api/v1/hosts", read_only(&call).and_then(|()| list()))
}

async fn document(call: Call, _site: Arc<Site>) -> Response {
    let text = || {
        let mut response = Response::new(DOCUMENT.into());
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        response
    };
    respond("/api/openapi.json", read_only(&call).map(|()| text()))
}

fn read_only(call: &Call) -> Result<(), Problem> {
    match call.verb {
        Verb::Get => call.no_query(),
        _ => Err(Problem::not_allowed("GET, HEAD")),
    }
}
