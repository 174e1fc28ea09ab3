//! `/api/v1/sessions`.

use std::sync::Arc;

use http::{HeaderValue, StatusCode, header::LOCATION};
use warp::{Filter, reply::Response};

use super::{Site, agents, with};
use crate::{
    domain::{NewSession, SessionChange, SessionId},
    http::{
        call::{self, Call, Verb, call, respond},
        front::Routes,
        problem::{Answer, Problem},
    },
};

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
    let read = site.app.store.read(move |reader| {
        let agent = agent.map(|which| agents::find(reader, &which)).transpose()?;
        reader.sessions(agent.as_ref().map(|agent| &agent.id), &paging)
    });
    call::json(StatusCode::OK, &read.await?)
}

async fn create(call: Call, site: &Site) -> Answer {
    call.no_query()?;
    let new: NewSession = call.json(&site.app.config.http).await?;
    require_title(&new.title)?;
    let session = site.app.store.write(move |writer| writer.create_session(new)).await?;
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
    let session = site.app.store.read(move |reader| reader.session(&id)).await?;
    call::json(StatusCode::OK, &session)
}

async fn change(which: &str, call: Call, site: &Site) -> Answer {
    call.no_query()?;
    let id = identify(which)?;
    let change: SessionChange = call.json(&site.app.config.http).await?;
    require_title(change.title.as_deref().unwrap_or_default())?;
    let write = site.app.store.write(move |writer| writer.change_session(&id, change));
    call::json(StatusCode::OK, &write.await?)
}

async fn delete(which: &str, call: &Call, site: &Site) -> Answer {
    call.no_query()?;
    let id = identify(which)?;
    let session = id.clone();
    let write = site.app.store.write(move |writer| {
        let agent = writer.agent(&writer.session(&id)?.agent_id)?;
        let places = agents::workplaces_of(writer, &agent)?;
        writer.delete_session(&id)?;
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

fn require_title(title: &str) -> Result<(), Problem> {
    if title.chars().count() <= TITLE {
        return Ok(());
    }
    Err(Problem::unusable("title", format!("a title has at most {TITLE} characters")))
}
