//! `/api/v1/sessions`.

use std::sync::Arc;

use super::agents::workplaces_of;
use crate::{
    answer,
    call::Call,
    problem::{Answer, Problem},
    state::ApiState,
    visibility::{visible_agent, visible_session},
};
use evonic_domain::{NewSession, SessionChange, SessionId};

/// The most characters of a title.
const TITLE: usize = 200;

pub(super) async fn list(state: Arc<ApiState>, call: Call) -> Answer {
    let paging = call.query.paging()?;
    let agent = call.query.get("agent").map(str::to_owned);
    let caller = call.caller;
    let list = state.show(move |reader| {
        let agents = match agent {
            Some(which) => Some(vec![visible_agent(reader, &caller, &which)?.id]),
            None => caller.agents,
        };
        reader.sessions(agents.as_deref(), &paging)
    });
    list.await
}

pub(super) async fn create(state: Arc<ApiState>, call: Call, new: NewSession) -> Answer {
    require_title(&new.title)?;
    let caller = call.caller.clone();
    let create = state.create(call, "/api/v1/sessions", move |writer| {
        if caller.agents.is_some() {
            visible_agent(writer, &caller, &new.agent)?;
        }
        let session = writer.create_session(new)?;
        Ok((session.id.to_string(), session))
    });
    create.await
}

pub(super) async fn read(state: Arc<ApiState>, call: Call) -> Answer {
    let id = call.identify("session")?;
    state.show(move |reader| visible_session(reader, &call.caller, &id)).await
}

pub(super) async fn change(state: Arc<ApiState>, call: Call, change: SessionChange) -> Answer {
    let (id, caller) = (call.identify("session")?, call.caller);
    require_title(change.title.as_deref().unwrap_or_default())?;
    let write = state.change(caller.origin(), move |writer| {
        visible_session(writer, &caller, &id)?;
        Ok(writer.change_session(&id, change)?)
    });
    answer::ok(&write.await?)
}

pub(super) async fn delete(state: Arc<ApiState>, call: Call) -> Answer {
    let (id, caller) = (call.identify::<SessionId>("session")?, call.caller);
    let session = id.clone();
    let write = state.change(caller.origin(), move |writer| {
        let agent = writer.agent(visible_session(writer, &caller, &id)?.agent_id.as_str())?;
        let workplaces = workplaces_of(writer, &agent)?;
        let is_gone = writer.delete_session(&id)?;
        Ok((workplaces, is_gone))
    });
    let (workplaces, is_gone) = write.await?;
    if !is_gone {
        state.app.store.wake_upkeep();
    }
    state.deleted.send_replace(());
    state.app.workplaces.session_deleted(&session, &workplaces);
    answer::no_content()
}

fn require_title(title: &str) -> Result<(), Problem> {
    if title.chars().count() <= TITLE {
        return Ok(());
    }
    Err(Problem::unusable("title", format!("a title has at most {TITLE} characters")))
}
