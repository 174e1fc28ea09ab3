//! `/api/v1/audit`: who changed what, and when.

use std::sync::Arc;

use http::StatusCode;
use warp::{Filter, reply::Response};

use super::{Site, with};
use crate::{
    call::{self, Call, Verb, call, respond},
    front::Routes,
    problem::{Answer, Problem},
};
use evonic_domain::Action;
use evonic_store::{AuditQuery, Order};

/// The one resource.
pub(super) fn routes(site: &Arc<Site>) -> Routes {
    let path = warp::path!("api" / "v1" / "audit");
    path.and(call()).and(with(site)).then(audit).boxed()
}

async fn audit(call: Call, site: Arc<Site>) -> Response {
    let answer = match call.verb {
        Verb::Get => list(&call, &site).await,
        _ => Err(Problem::not_allowed("GET, HEAD")),
    };
    respond("/api/v1/audit", answer)
}

async fn list(call: &Call, site: &Site) -> Answer {
    let mut query = call.query();
    let paging = query.paging()?;
    let (actor, target) = (query.take("actor")?, query.take("target")?);
    let action = query.parsed::<Action>("action", "an action such as agent.create")?;
    let order = match query.take("order")?.as_deref() {
        None | Some("oldest") => Order::OldestFirst,
        Some("newest") => Order::NewestFirst,
        Some(_) => {
            return Err(Problem::malformed("order", "parameter 'order' must be oldest or newest"));
        }
    };
    query.finish()?;
    let wanted = AuditQuery { actor, target, action, order };
    let records = site.app.store.read(move |reader| reader.audit(&wanted, &paging)).await?;
    call::json(StatusCode::OK, &records)
}
