//! What of a session its model is sent: the stored items, and the compactions.

use std::sync::Arc;

use http::StatusCode;

use crate::{answer, call::Call, problem::Answer, state::ApiState, visibility::require_session};
use evonic_store::StoreError;

pub(super) async fn items(state: Arc<ApiState>, call: Call) -> Answer {
    let (paging, id) = (call.query.paging()?, call.identify("session")?);
    let list = state.show(move |reader| {
        require_session(reader, &call.caller, &id)?;
        reader.items(&id, &paging)
    });
    list.await
}

pub(super) async fn list(state: Arc<ApiState>, call: Call) -> Answer {
    let (paging, id) = (call.query.paging()?, call.identify("session")?);
    let list = state.show(move |reader| {
        require_session(reader, &call.caller, &id)?;
        reader.compactions(&id, &paging)
    });
    list.await
}

/// 202 once the turn that compacts is queued: it runs after those that are queued already.
pub(super) async fn compact(state: Arc<ApiState>, call: Call) -> Answer {
    let (id, caller) = (call.identify("session")?, call.caller);
    let max_queued = state.app.config.agents.max_queued;
    let (store, agents) = (state.app.store.clone(), state.app.agents.clone());
    let queueing = async move {
        let write = store.change(caller.origin(), move |writer| {
            require_session(writer, &caller, &id)?;
            let request_id = Some(caller.request_id.as_str());
            writer.request_compaction(&id, max_queued, request_id)
        });
        let turn = write.await?;
        agents.wake();
        Ok::<_, StoreError>(turn)
    };
    let turn = state.see_through(queueing).await?;
    let location = format!("/api/v1/turns/{}", turn.id);
    Ok(answer::located(StatusCode::ACCEPTED, &location, answer::ok(&turn)?))
}
