//! `/api/v1/audit`: who changed what, and when.

use std::sync::Arc;

use crate::{
    call::Call,
    problem::{Answer, Problem},
    state::ApiState,
};
use evonic_domain::Action;
use evonic_store::{AuditQuery, Order};

pub(super) async fn list(state: Arc<ApiState>, call: Call) -> Answer {
    let query = &call.query;
    let paging = query.paging()?;
    let order = match query.get("order") {
        None | Some("oldest") => Order::OldestFirst,
        Some("newest") => Order::NewestFirst,
        Some(_) => {
            return Err(Problem::malformed("order", "parameter 'order' must be oldest or newest"));
        }
    };
    let wanted = AuditQuery {
        actor: query.get("actor").map(str::to_owned),
        target: query.get("target").map(str::to_owned),
        action: query.parsed::<Action>("action", "an action such as agent.create")?,
        order,
    };
    state.show(move |reader| reader.audit(&wanted, &paging)).await
}
