//! `/api/v1/agents`.

use std::sync::Arc;

use crate::{
    answer,
    call::Call,
    problem::{Answer, Problem},
    state::{ApiState, Refusal},
    visibility::visible_agent,
};
use evonic_domain::{Agent, AgentChange, NewAgent, Workplace};
use evonic_store::{Paging, Reader, StoreError};

/// Workplaces that a refusal lists.
const NAMED: u32 = 20;

pub(super) async fn list(state: Arc<ApiState>, call: Call) -> Answer {
    let paging = call.query.paging()?;
    let among = call.caller.agents;
    state.show(move |reader| reader.agents(among.as_deref(), &paging)).await
}

pub(super) async fn create(state: Arc<ApiState>, call: Call, new: NewAgent) -> Answer {
    require_model(&state, &new.model)?;
    require_tools(&state, new.tools.as_deref())?;
    let create = state.create(call, "/api/v1/agents", move |writer| {
        let mut new = new;
        settle(writer, Some(&mut new.workplace), &mut new.other_workplaces)?;
        let agent = writer.create_agent(new)?;
        Ok((agent.id.to_string(), agent))
    });
    create.await
}

pub(super) async fn read(state: Arc<ApiState>, call: Call) -> Answer {
    state.show(move |reader| visible_agent(reader, &call.caller, &call.id)).await
}

pub(super) async fn change(state: Arc<ApiState>, call: Call, change: AgentChange) -> Answer {
    if let Some(model) = &change.model {
        require_model(&state, model)?;
    }
    require_tools(&state, change.tools.as_ref().and_then(Option::as_deref))?;
    let write = state.change(call.caller.origin(), move |writer| {
        let (agent, mut change) = (writer.agent(&call.id)?, change);
        let others = change.other_workplaces.iter_mut().flatten();
        settle(writer, change.workplace.as_mut(), others)?;
        Ok(writer.change_agent(&agent.id, change)?)
    });
    answer::ok(&write.await?)
}

pub(super) async fn delete(state: Arc<ApiState>, call: Call) -> Answer {
    let write = state.change(call.caller.origin(), move |writer| {
        let agent = writer.agent(&call.id)?;
        let sessions = writer.sessions_of(&agent.id)?;
        let workplaces = workplaces_of(writer, &agent)?;
        writer.delete_agent(&agent.id)?;
        Ok((sessions, workplaces))
    });
    let (sessions, workplaces) = write.await?;
    state.deleted.send_replace(());
    for session in sessions {
        state.app.workplaces.session_deleted(&session, &workplaces);
    }
    answer::no_content()
}

fn require_model(state: &ApiState, model: &str) -> Result<(), Problem> {
    if state.app.models.get(model).is_some() {
        return Ok(());
    }
    let known = state.app.models.names().collect::<Vec<_>>().join(", ");
    let detail = format!("there is no model '{model}'; there are: {known}");
    Err(Problem::unusable("model", detail))
}

fn require_tools(state: &ApiState, tools: Option<&[String]>) -> Result<(), Problem> {
    let registry = &state.app.tools;
    for (index, tool) in tools.unwrap_or_default().iter().enumerate() {
        if registry.spec(tool).is_none() {
            let known = registry.names().collect::<Vec<_>>().join(", ");
            let detail = format!("there is no tool '{tool}'; there are: {known}");
            return Err(Problem::unusable(&format!("tools[{index}]"), detail));
        }
    }
    Ok(())
}

/// Replaces the names of workplaces by their identifiers; `local` stays `local`.
fn settle<'a>(
    reader: &Reader<'_>,
    own: Option<&mut String>,
    others: impl IntoIterator<Item = &'a mut String>,
) -> Result<(), Refusal> {
    let own = own.map(|which| ("workplace".to_owned(), which));
    let others = others.into_iter().enumerate();
    let others = others.map(|(index, which)| (format!("other_workplaces[{index}]"), which));
    for (field, which) in own.into_iter().chain(others) {
        match reader.workplace(which) {
            Ok(workplace) if workplace.name.as_str() == "local" => *which = "local".to_owned(),
            Ok(workplace) => *which = workplace.id.into(),
            Err(StoreError::NotFound { .. }) => {
                let known = known(reader)?;
                let detail = format!("there is no workplace '{which}'; there are: {known}");
                return Err(Problem::unusable(&field, detail).into());
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The names of workplaces, as many as a message shows.
fn known(reader: &Reader<'_>) -> Result<String, StoreError> {
    let page = reader.workplaces(&Paging { limit: NAMED, after: None })?;
    let names: Vec<_> = page.data.iter().map(|workplace| workplace.name.as_str()).collect();
    let more = if page.next.is_some() { " and more" } else { "" };
    Ok(names.join(", ") + more)
}

/// The workplaces that an agent names. One that is gone is left out.
pub(super) fn workplaces_of(
    reader: &Reader<'_>,
    agent: &Agent,
) -> Result<Vec<Workplace>, StoreError> {
    let named = [&agent.workplace].into_iter().chain(&agent.other_workplaces);
    named
        .filter_map(|which| match reader.workplace(which) {
            Err(StoreError::NotFound { .. }) => None,
            found => Some(found),
        })
        .collect()
}
