//! The route table: every path, what it needs of its caller, and its handler.
//!
//! What is not in this table is not there. `docs/security.md` has the same table, and
//! `docs/openapi.json` the same paths and scopes; tests compare them.

mod agents;
mod audit;
mod blobs;
mod budgets;
mod context;
mod copies;
mod keys;
mod messages;
mod posting;
mod sessions;
mod system;
mod transfer;
mod turns;
mod usage;
mod workplaces;

use crate::{
    health,
    route::{
        Access::{Free, OfAgents, Whole},
        Route,
    },
    state::ApiState,
};
use evonic_domain::Scope::{Admin, Operate, Read, Run};

/// The parameters of every list.
const PAGE: &[&str] = &["limit", "after"];

/// Every route. Lines of one resource stand together.
pub(super) fn routes() -> Vec<Route<ApiState>> {
    vec![
        Route::get("/livez", Free, health::live),
        Route::get("/readyz", Free, health::ready),
        Route::get("/healthz", Free, health::ready),
        Route::get("/metrics", Whole(Read), health::metrics),
        Route::get("/api/openapi.json", OfAgents(Read), system::document),
        Route::get("/api/v1/handles", Whole(Read), system::handles),
        Route::get("/api/v1/hosts", Whole(Read), system::hosts),
        Route::get("/api/v1/models", OfAgents(Read), system::models),
        Route::post("/api/v1/models/{id}/check", Whole(Operate), system::check_model),
        Route::get("/api/v1/agents", OfAgents(Read), agents::list).query(PAGE),
        Route::post("/api/v1/agents", Whole(Operate), agents::create).creates(),
        Route::get("/api/v1/agents/{id}", OfAgents(Read), agents::read),
        Route::patch("/api/v1/agents/{id}", Whole(Operate), agents::change),
        Route::delete("/api/v1/agents/{id}", Whole(Operate), agents::delete),
        Route::get("/api/v1/sessions", OfAgents(Read), sessions::list)
            .query(&["limit", "after", "agent"]),
        Route::post("/api/v1/sessions", OfAgents(Run), sessions::create).creates(),
        Route::get("/api/v1/sessions/{id}", OfAgents(Read), sessions::read),
        Route::patch("/api/v1/sessions/{id}", OfAgents(Run), sessions::change),
        Route::delete("/api/v1/sessions/{id}", OfAgents(Run), sessions::delete),
        Route::get("/api/v1/sessions/{id}/export", OfAgents(Read), transfer::export_one),
        Route::get("/api/v1/export", OfAgents(Read), transfer::export).query(&["agent"]),
        Route::post("/api/v1/import", Whole(Admin), transfer::import).query(&["agent", "existing"]),
        Route::get("/api/v1/sessions/{id}/messages", OfAgents(Read), messages::list).query(PAGE),
        Route::post("/api/v1/sessions/{id}/messages", OfAgents(Run), posting::post).creates(),
        Route::upload("/api/v1/sessions/{id}/blobs", OfAgents(Run), blobs::upload),
        Route::get("/api/v1/sessions/{id}/blobs/{sha256}", OfAgents(Read), blobs::read),
        Route::get("/api/v1/sessions/{id}/turns", OfAgents(Read), messages::list_turns).query(PAGE),
        Route::get("/api/v1/sessions/{id}/items", OfAgents(Read), context::items).query(PAGE),
        Route::get("/api/v1/sessions/{id}/compactions", OfAgents(Read), context::list).query(PAGE),
        Route::post("/api/v1/sessions/{id}/compact", OfAgents(Run), context::compact),
        Route::get("/api/v1/sessions/{id}/events", OfAgents(Read), messages::stream)
            .query(&["after", "until_turn"]),
        Route::get("/api/v1/turns/{id}", OfAgents(Read), turns::read).query(&["wait"]),
        Route::post("/api/v1/turns/{id}/cancel", OfAgents(Run), turns::cancel),
        Route::get("/api/v1/usage", OfAgents(Read), usage::sums)
            .query(&["limit", "after", "by", "from", "to", "agent", "key", "session"]),
        Route::get("/api/v1/budgets", Whole(Read), budgets::list).query(PAGE),
        Route::post("/api/v1/budgets", Whole(Admin), budgets::create).creates(),
        Route::get("/api/v1/budgets/{id}", Whole(Read), budgets::read),
        Route::patch("/api/v1/budgets/{id}", Whole(Admin), budgets::change),
        Route::delete("/api/v1/budgets/{id}", Whole(Admin), budgets::delete),
        Route::get("/api/v1/workplaces", Whole(Read), workplaces::list).query(PAGE),
        Route::post("/api/v1/workplaces", Whole(Admin), workplaces::create).creates(),
        Route::get("/api/v1/workplaces/{id}", Whole(Read), workplaces::read),
        Route::patch("/api/v1/workplaces/{id}", Whole(Admin), workplaces::change),
        Route::delete("/api/v1/workplaces/{id}", Whole(Admin), workplaces::delete),
        Route::post("/api/v1/workplaces/{id}/check", Whole(Operate), workplaces::check),
        Route::post("/api/v1/sandbox/build", Whole(Operate), workplaces::build_sandbox)
            .query(&["workplace"]),
        Route::post("/api/v1/copies", Whole(Operate), copies::copy),
        Route::get("/api/v1/audit", Whole(Admin), audit::list)
            .query(&["limit", "after", "actor", "target", "action", "order"]),
        Route::get("/api/v1/keys", Whole(Admin), keys::list).query(PAGE),
        Route::post("/api/v1/keys", Whole(Admin), keys::create),
        Route::get("/api/v1/keys/{id}", Whole(Admin), keys::read),
        Route::delete("/api/v1/keys/{id}", Whole(Admin), keys::revoke),
    ]
}

#[cfg(test)]
mod tests;
