//! What belongs to one session: its messages, its turns, its events.

use std::sync::Arc;

use http::{HeaderValue, StatusCode, header::LOCATION};
use warp::{Filter, reply::Response};

use super::{
    Site,
    sessions::{identify, require_visible},
    with,
};
use crate::{
    call::{self, Call, Verb, call, respond},
    follow::{self, Follow},
    front::Routes,
    problem::{Answer, Problem},
};
use evonic_domain::{NewMessage, TurnId};

/// The longest idempotency key.
const KEY_BYTES: usize = 255;

/// `/api/v1/sessions/{id}/messages`, `.../turns`, `.../events`.
pub(super) fn routes(site: &Arc<Site>) -> Routes {
    let session = || warp::path!("api" / "v1" / "sessions" / String / ..);
    let messages =
        session().and(warp::path!("messages")).and(call()).and(with(site)).then(messages);
    let turns = session().and(warp::path!("turns")).and(call()).and(with(site)).then(turns);
    let events = session().and(warp::path!("events")).and(call()).and(with(site)).then(events);
    messages.or(turns).unify().or(events).unify().boxed()
}

async fn messages(session: String, call: Call, site: Arc<Site>) -> Response {
    let answer = match call.verb {
        Verb::Get => list_messages(&session, &call, &site).await,
        Verb::Post => post(&session, call, &site).await,
        _ => Err(Problem::not_allowed("GET, HEAD, POST")),
    };
    respond("/api/v1/sessions/{id}/messages", answer)
}

async fn turns(session: String, call: Call, site: Arc<Site>) -> Response {
    let answer = match call.verb {
        Verb::Get => list_turns(&session, &call, &site).await,
        _ => Err(Problem::not_allowed("GET, HEAD")),
    };
    respond("/api/v1/sessions/{id}/turns", answer)
}

async fn events(session: String, call: Call, site: Arc<Site>) -> Response {
    let answer = match call.verb {
        Verb::Get => stream(&session, &call, site).await,
        _ => Err(Problem::not_allowed("GET, HEAD")),
    };
    respond("/api/v1/sessions/{id}/events", answer)
}

async fn list_messages(session: &str, call: &Call, site: &Site) -> Answer {
    let mut query = call.query();
    let paging = query.paging()?;
    query.finish()?;
    let id = identify(session)?;
    let caller = call.caller.clone();
    let read = site.app.store.read(move |reader| {
        require_visible(reader, &caller, &id)?;
        reader.messages(&id, &paging)
    });
    call::json(StatusCode::OK, &read.await?)
}

async fn list_turns(session: &str, call: &Call, site: &Site) -> Answer {
    let mut query = call.query();
    let paging = query.paging()?;
    query.finish()?;
    let id = identify(session)?;
    let caller = call.caller.clone();
    let read = site.app.store.read(move |reader| {
        require_visible(reader, &caller, &id)?;
        reader.turns(&id, &paging)
    });
    call::json(StatusCode::OK, &read.await?)
}

/// 202 once the message is on disk and its turn is queued.
async fn post(session: &str, call: Call, site: &Site) -> Answer {
    call.no_query()?;
    let id = identify(session)?;
    let (key, caller) = (idempotency_key(&call)?, call.caller.clone());
    let NewMessage { content } = call.json(&site.app.config.http).await?;
    if content.trim().is_empty() {
        return Err(Problem::unusable("content", "field 'content': a message is not empty"));
    }
    let max_queued = site.app.config.agents.max_queued;
    let (store, agents) = (site.app.store.clone(), site.app.agents.clone());
    let posting = async move {
        let write = store.change(caller.origin(), move |changer| {
            require_visible(changer, &caller, &id)?;
            let request_id = Some(caller.request_id.as_str());
            changer.post_message(&id, &content, key.as_deref(), max_queued, request_id)
        });
        let posted = write.await?;
        agents.wake();
        Ok(posted)
    };
    let posted = site.see_through(posting).await?;
    let location = format!("/api/v1/turns/{}", posted.turn.id);
    let mut response = call::json(StatusCode::ACCEPTED, &posted)?;
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// `Idempotency-Key`: a structured string as the draft has it, or the bare text.
fn idempotency_key(call: &Call) -> Result<Option<String>, Problem> {
    const NAME: &str = "idempotency-key";
    let Some(value) = call.header(NAME)? else { return Ok(None) };
    let key = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    if (1..=KEY_BYTES).contains(&key.len()) && key.bytes().all(plain) {
        return Ok(Some(key.to_owned()));
    }
    let detail = format!(
        "header '{NAME}' must be 1 to {KEY_BYTES} visible characters without quote or backslash"
    );
    Err(Problem::malformed(NAME, detail))
}

/// The event stream, from after `Last-Event-ID`, else `?after=`, else the beginning.
async fn stream(session: &str, call: &Call, site: Arc<Site>) -> Answer {
    const NAME: &str = "last-event-id";
    let number = "an event's number";
    let mut query = call.query();
    let after = query.parsed::<u64>("after", number)?;
    let until: Option<TurnId> = query.parsed("until_turn", "a turn's identifier")?;
    query.finish()?;
    let refuse = |_| Problem::malformed(NAME, format!("header '{NAME}' must be {number}"));
    let last = match call.header(NAME)? {
        None | Some("") => None,
        Some(text) => Some(text.parse::<u64>().map_err(refuse)?),
    };
    let session = identify(session)?;
    let follow =
        Follow::open(site, &call.caller, session, last.or(after).unwrap_or(0), until).await?;
    Ok(follow::respond(follow))
}
