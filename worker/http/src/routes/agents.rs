//! `/api/v1/agents`.

use std::sync::Arc;

use http::{HeaderValue, StatusCode, header::LOCATION};
use warp::{Filter, reply::Response};

use super::{Site, with};
use crate::{
    call::{self, Call, Verb, call, respond},
    caller::Caller,
    front::Routes,
    problem::{Answer, Problem},
};
use evonic_domain::{Agent, AgentChange, AgentId, AgentName, NewAgent, Workplace};
use evonic_store::{Paging, Reader, StoreError};

/// Workplaces that a refusal lists.
const NAMED: u32 = 20;

/// The collection and its entries.
pub(super) fn routes(site: &Arc<Site>) -> Routes {
    let all = warp::path!("api" / "v1" / "agents").and(call()).and(with(site)).then(all);
    let one = warp::path!("api" / "v1" / "agents" / String).and(call()).and(with(site)).then(one);
    all.or(one).unify().boxed()
}

async fn all(call: Call, site: Arc<Site>) -> Response {
    let answer = match call.verb {
        Verb::Get => list(&call, &site).await,
        Verb::Post => create(call, &site).await,
        _ => Err(Problem::not_allowed("GET, HEAD, POST")),
    };
    respond("/api/v1/agents", answer)
}

async fn one(which: String, call: Call, site: Arc<Site>) -> Response {
    let answer = match call.verb {
        Verb::Get => read(which, &call, &site).await,
        Verb::Patch => change(which, call, &site).await,
        Verb::Delete => delete(which, &call, &site).await,
        _ => Err(Problem::not_allowed("GET, HEAD, PATCH, DELETE")),
    };
    respond("/api/v1/agents/{id}", answer)
}

async fn list(call: &Call, site: &Site) -> Answer {
    let mut query = call.query();
    let paging = query.paging()?;
    query.finish()?;
    let among = call.caller.agents.clone();
    let read = site.app.store.read(move |reader| reader.agents(among.as_deref(), &paging));
    let agents = read.await?;
    call::json(StatusCode::OK, &agents)
}

async fn create(call: Call, site: &Site) -> Answer {
    call.no_query()?;
    let origin = call.caller.origin();
    let new: NewAgent = call.json(&site.app.config.http).await?;
    require_model(site, &new.model)?;
    require_tools(site, new.tools.as_deref())?;
    let write = site.app.store.change(origin, move |changer| {
        let mut new = new;
        if let Err(missing) = settle(changer, Some(&mut new.workplace), &mut new.other_workplaces)?
        {
            return Ok(Err(missing));
        }
        changer.create_agent(new).map(Ok)
    });
    let agent = write.await??;
    let location = format!("/api/v1/agents/{}", agent.id);
    let mut response = call::json(StatusCode::CREATED, &agent)?;
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

async fn read(which: String, call: &Call, site: &Site) -> Answer {
    call.no_query()?;
    let caller = call.caller.clone();
    let agent = site.app.store.read(move |reader| visible(reader, &caller, &which)).await?;
    call::json(StatusCode::OK, &agent)
}

async fn change(which: String, call: Call, site: &Site) -> Answer {
    call.no_query()?;
    let origin = call.caller.origin();
    let change: AgentChange = call.json(&site.app.config.http).await?;
    if let Some(model) = &change.model {
        require_model(site, model)?;
    }
    require_tools(site, change.tools.as_ref().and_then(Option::as_deref))?;
    let write = site.app.store.change(origin, move |changer| {
        let (agent, mut change) = (find(changer, &which)?, change);
        let mut own = change.workplace.take();
        let mut others = change.other_workplaces.take();
        let settled = settle(changer, own.as_mut(), others.iter_mut().flatten())?;
        if let Err(missing) = settled {
            return Ok(Err(missing));
        }
        let change = AgentChange { workplace: own, other_workplaces: others, ..change };
        changer.change_agent(&agent.id, change).map(Ok)
    });
    call::json(StatusCode::OK, &write.await??)
}

async fn delete(which: String, call: &Call, site: &Site) -> Answer {
    call.no_query()?;
    let write = site.app.store.change(call.caller.origin(), move |changer| {
        let agent = find(changer, &which)?;
        let sessions = changer.sessions_of(&agent.id)?;
        let places = workplaces_of(changer, &agent)?;
        changer.delete_agent(&agent.id)?;
        Ok((sessions, places))
    });
    let (sessions, places) = write.await?;
    site.deleted.send_replace(());
    for session in sessions {
        site.app.workplaces.session_deleted(&session, &places);
    }
    call::no_content()
}

/// An agent by its identifier or its name; the two cannot be confused, as no name has a `_`.
pub(super) fn find(reader: &Reader<'_>, which: &str) -> Result<Agent, StoreError> {
    if let Ok(id) = which.parse::<AgentId>() {
        return reader.agent(&id);
    }
    match which.parse::<AgentName>() {
        Ok(name) => reader.agent_named(&name),
        Err(_) => Err(StoreError::NotFound { what: "agent", id: which.to_owned() }),
    }
}

/// The same among those that the caller may use: the others are not there for it.
pub(super) fn visible(
    reader: &Reader<'_>,
    caller: &Caller,
    which: &str,
) -> Result<Agent, StoreError> {
    let agent = find(reader, which)?;
    if caller.may_use(&agent.id) {
        return Ok(agent);
    }
    Err(StoreError::NotFound { what: "agent", id: which.to_owned() })
}

fn require_model(site: &Site, model: &str) -> Result<(), Problem> {
    if site.app.models.get(model).is_some() {
        return Ok(());
    }
    let known = site.app.models.names().collect::<Vec<_>>().join(", ");
    let detail = format!("there is no model '{model}'; there are: {known}");
    Err(Problem::unusable("model", detail))
}

fn require_tools(site: &Site, tools: Option<&[String]>) -> Result<(), Problem> {
    let registry = &site.app.tools;
    for (index, tool) in tools.unwrap_or_default().iter().enumerate() {
        if registry.spec(tool).is_none() {
            let known = registry.names().collect::<Vec<_>>().join(", ");
            let detail = format!("there is no tool '{tool}'; there are: {known}");
            return Err(Problem::unusable(&format!("tools[{index}]"), detail));
        }
    }
    Ok(())
}

/// A field that names a workplace that is not there.
struct Missing {
    field: String,
    which: String,
    known: String,
}

impl From<Missing> for Problem {
    fn from(Missing { field, which, known }: Missing) -> Self {
        let detail = format!("there is no workplace '{which}'; there are: {known}");
        Problem::unusable(&field, detail)
    }
}

/// Puts identifiers in the place of workplaces' names; `local` stays `local`.
fn settle<'a>(
    reader: &Reader<'_>,
    own: Option<&mut String>,
    others: impl IntoIterator<Item = &'a mut String>,
) -> Result<Result<(), Missing>, StoreError> {
    let own = own.map(|which| ("workplace".to_owned(), which));
    let others = others.into_iter().enumerate();
    let others = others.map(|(index, which)| (format!("other_workplaces[{index}]"), which));
    for (field, which) in own.into_iter().chain(others) {
        match reader.workplace(which) {
            Ok(workplace) if workplace.name.as_str() == "local" => *which = "local".to_owned(),
            Ok(workplace) => *which = workplace.id.into(),
            Err(StoreError::NotFound { .. }) => {
                let (which, known) = (which.clone(), known(reader)?);
                return Ok(Err(Missing { field, which, known }));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Ok(()))
}

/// The names of workplaces, as many as a sentence bears.
fn known(reader: &Reader<'_>) -> Result<String, StoreError> {
    let page = reader.workplaces(&Paging { limit: NAMED, after: None })?;
    let names: Vec<_> = page.data.iter().map(|workplace| workplace.name.as_str()).collect();
    let more = if page.next.is_some() { " and more" } else { "" };
    Ok(names.join(", ") + more)
}

/// The workplaces that an agent names. One that is gone is passed over.
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
