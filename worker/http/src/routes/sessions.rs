//! `/api/v1/sessions`.

use std::sync::Arc;

use http::{HeaderValue, StatusCode, header::LOCATION};
use warp::{Filter, reply::Response};

use super::{Site, agents, with};
use crate::{
    call::{self, Call, Verb, call, respond},
    caller::Caller,
    front::Routes,
    problem::{Answer, Problem},
};
use evonic_domain::{NewSession, Session, SessionChange, SessionId};
use evonic_store::{Reader, StoreError};

/// The most characters of a title.
const TITLE: usize = 200;

/// The collection and its entries.
pub(super) fn routes(site: &Arc<Site>) -> Routes {
    let all = warp::path!("api" / "v1" / "sessions").and(call()).and(with(site)).then(all);
    let one = warp::path!("api" / "v1" / "sessions" / String).and(call()).and(with(site)).then(one);
    all.or(one).unify().boxed()
}

async fn all(call: Call, site: Arc<Site>) -> Response {
    let answer = match call.verb {
        Verb::Get => list(&call, &site).await,
        Verb::Post => create(call, &site).await,
        _ => Err(Problem::not_allowed("GET, HEAD, POST")),
    };
    respond("/api/v1/sessions", answer)
}

async fn one(which: String, call: Call, site: Arc<Site>) -> Response {
    let answer = match call.verb {
        Verb::Get => read(&which, &call, &site).await,
        Verb::Patch => change(&which, call, &site).await,
        Verb::Delete => delete(&which, &call, &site).await,
        _ => Err(Problem::not_allowed("GET, HEAD, PATCH, DELETE")),
    };
    respond("/api/v1/sessions/{id}", answer)
}

async fn list(call: &Call, site: &Site) -> Answer {
    let mut query = call.query();
    let (paging, agent) = (query.paging()?, query.take("agent")?);
    query.finish()?;
    let caller = call.caller.clone();
    let read = site.app.store.read(move |reader| {
        let agents = match agent {
            Some(which) => Some(vec![agents::visible(reader, &caller, &which)?.id]),
            None => caller.agents,
        };
        reader.sessions(agents.as_deref(), &paging)
    });
    call::json(StatusCode::OK, &read.await?)
}

async fn create(call: Call, site: &Site) -> Answer {
    call.no_query()?;
    let caller = call.caller.clone();
    let new: NewSession = call.json(&site.app.config.http).await?;
    require_title(&new.title)?;
    let write = site.app.store.change(caller.origin(), move |changer| {
        if caller.agents.is_some() {
            agents::visible(changer, &caller, &new.agent)?;
        }
        changer.create_session(new)
    });
    let session = write.await?;
    let location = format!("/api/v1/sessions/{}", session.id);
    let mut response = call::json(StatusCode::CREATED, &session)?;
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

async fn read(which: &str, call: &Call, site: &Site) -> Answer {
    call.no_query()?;
    let id = identify(which)?;
    let caller = call.caller.clone();
    let session = site.app.store.read(move |reader| visible(reader, &caller, &id)).await?;
    call::json(StatusCode::OK, &session)
}

async fn change(which: &str, call: Call, site: &Site) -> Answer {
    call.no_query()?;
    let (id, caller) = (identify(which)?, call.caller.clone());
    let change: SessionChange = call.json(&site.app.config.http).await?;
    require_title(change.title.as_deref().unwrap_or_default())?;
    let write = site.app.store.change(caller.origin(), move |changer| {
        visible(changer, &caller, &id)?;
        changer.change_session(&id, change)
    });
    call::json(StatusCode::OK, &write.await?)
}

async fn delete(which: &str, call: &Call, site: &Site) -> Answer {
    call.no_query()?;
    let id = identify(which)?;
    let (session, caller) = (id.clone(), call.caller.clone());
    let write = site.app.store.change(caller.origin(), move |changer| {
        let agent = changer.agent(&visible(changer, &caller, &id)?.agent_id)?;
        let places = agents::workplaces_of(changer, &agent)?;
        changer.delete_session(&id)?;
        Ok(places)
    });
    let places = write.await?;
    site.deleted.send_replace(());
    site.app.workplaces.session_deleted(&session, &places);
    call::no_content()
}

/// A session's identifier from a path.
///
/// # Errors
/// 404: what has not the form of an identifier identifies nothing.
pub(super) fn identify(which: &str) -> Result<SessionId, Problem> {
    which.parse().map_err(|_| Problem::not_found(format!("no session {which}")))
}

/// A session of an agent that the caller may use: the others are not there for it.
pub(crate) fn visible(
    reader: &Reader<'_>,
    caller: &Caller,
    id: &SessionId,
) -> Result<Session, StoreError> {
    let session = reader.session(id)?;
    if caller.may_use(&session.agent_id) {
        return Ok(session);
    }
    Err(StoreError::NotFound { what: "session", id: id.to_string() })
}

/// The same where the session itself is not wanted.
pub(crate) fn require_visible(
    reader: &Reader<'_>,
    caller: &Caller,
    id: &SessionId,
) -> Result<(), StoreError> {
    if caller.agents.is_none() { Ok(()) } else { visible(reader, caller, id).map(drop) }
}

fn require_title(title: &str) -> Result<(), Problem> {
    if title.chars().count() <= TITLE {
        return Ok(());
    }
    Err(Problem::unusable("title", format!("a title has at most {TITLE} characters")))
}
