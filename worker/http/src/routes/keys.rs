//! `/api/v1/keys`.

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, StatusCode, header::CACHE_CONTROL, header::LOCATION};
use warp::{Filter, reply::Response};

use super::{Site, agents, with};
use crate::{
    call::{self, Call, Verb, call, respond},
    front::Routes,
    problem::{Answer, Problem},
};
use evonic_domain::{AgentId, IssuedKey, NewKey, Scope, Token};
use evonic_store::{KeyRow, StoreError};

/// The longest time that a key may be valid and still end: a hundred years.
const LONGEST: u64 = 100 * 365 * 24 * 3600;

/// The most agents that a key names.
const AGENTS: usize = 64;

/// The collection and its entries.
pub(super) fn routes(site: &Arc<Site>) -> Routes {
    let all = warp::path!("api" / "v1" / "keys").and(call()).and(with(site)).then(all);
    let one = warp::path!("api" / "v1" / "keys" / String).and(call()).and(with(site)).then(one);
    all.or(one).unify().boxed()
}

async fn all(call: Call, site: Arc<Site>) -> Response {
    let answer = match call.verb {
        Verb::Get => list(&call, &site).await,
        Verb::Post => create(call, &site).await,
        _ => Err(Problem::not_allowed("GET, HEAD, POST")),
    };
    respond("/api/v1/keys", answer)
}

async fn one(which: String, call: Call, site: Arc<Site>) -> Response {
    let answer = match call.verb {
        Verb::Get => read(which, &call, &site).await,
        Verb::Delete => revoke(which, &call, &site).await,
        _ => Err(Problem::not_allowed("GET, HEAD, DELETE")),
    };
    respond("/api/v1/keys/{id}", answer)
}

async fn list(call: &Call, site: &Site) -> Answer {
    let mut query = call.query();
    let paging = query.paging()?;
    query.finish()?;
    let keys = site.app.store.read(move |reader| reader.keys(&paging)).await?;
    call::json(StatusCode::OK, &keys)
}

/// Makes a key and shows it, this once.
async fn create(call: Call, site: &Site) -> Answer {
    call.no_query()?;
    let origin = call.caller.origin();
    let new: NewKey = call.json(&site.app.config.http).await?;
    require_sound(&new)?;
    let token = Token::random().map_err(|error| Problem::internal(&error))?;
    let (id, hash) = (token.id().clone(), token.hash());
    let NewKey { name, scope, expires_in_seconds, agents } = new;
    let write = site.app.store.change(origin, move |changer| {
        let agents = match settle(changer, agents)? {
            Ok(agents) => agents,
            Err(problem) => return Ok(Err(problem)),
        };
        let expires_in = expires_in_seconds.map(Duration::from_secs);
        changer.create_key(KeyRow { id, name, hash, scope, agents, expires_in }).map(Ok)
    });
    let key = write.await??;
    let location = format!("/api/v1/keys/{}", key.id);
    let issued = IssuedKey { key, secret: token.reveal().to_owned() };
    let mut response = call::json(StatusCode::CREATED, &issued)?;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(location) = HeaderValue::try_from(location) {
        headers.insert(LOCATION, location);
    }
    Ok(response)
}

async fn read(which: String, call: &Call, site: &Site) -> Answer {
    call.no_query()?;
    let key = site.app.store.read(move |reader| reader.key(&which)).await?;
    call::json(StatusCode::OK, &key)
}

/// Revokes a key. It stays in the list, and stays revoked. A key does not revoke itself: the last
/// one would lock everybody out but who may use the Unix socket.
async fn revoke(which: String, call: &Call, site: &Site) -> Answer {
    call.no_query()?;
    let own = call.caller.key().cloned();
    let write = site.app.store.change(call.caller.origin(), move |changer| {
        let key = changer.key(&which)?;
        if own.as_ref() == Some(&key.id) {
            return Ok(Err(key.name));
        }
        changer.revoke_key(key.id.as_str()).map(Ok)
    });
    let key = write.await?.map_err(|name| {
        let detail = format!("key {name} is the one that is shown; revoke it by another");
        Problem::new(StatusCode::CONFLICT, "own_key", detail)
    })?;
    site.keyring.forget(&key.id);
    call::no_content()
}

fn require_sound(new: &NewKey) -> Result<(), Problem> {
    if new.expires_in_seconds.is_some_and(|seconds| !(1..=LONGEST).contains(&seconds)) {
        const FIELD: &str = "expires_in_seconds";
        let detail = format!("field '{FIELD}' is 1 to {LONGEST}; leave it out for a key for ever");
        return Err(Problem::unusable(FIELD, detail));
    }
    let Some(agents) = &new.agents else { return Ok(()) };
    if !(1..=AGENTS).contains(&agents.len()) {
        let detail = format!("field 'agents' has 1 to {AGENTS} agents; leave it out for every one");
        return Err(Problem::unusable("agents", detail));
    }
    if new.scope > Scope::Run {
        let scope = new.scope;
        let detail = format!("scope '{scope}' reaches beyond agents; restrict 'run' or 'read'");
        return Err(Problem::unusable("agents", detail));
    }
    Ok(())
}

/// Identifiers in the place of names of agents.
fn settle(
    reader: &evonic_store::Reader<'_>,
    agents: Option<Vec<String>>,
) -> Result<Result<Option<Vec<AgentId>>, Problem>, StoreError> {
    let mut ids = Vec::new();
    let Some(agents) = agents else { return Ok(Ok(None)) };
    for (index, which) in agents.iter().enumerate() {
        match agents::find(reader, which) {
            Ok(agent) => ids.push(agent.id),
            Err(StoreError::NotFound { .. }) => {
                let detail = format!("there is no agent '{which}'");
                return Ok(Err(Problem::unusable(&format!("agents[{index}]"), detail)));
            }
            Err(error) => return Err(error),
        }
    }
    ids.sort();
    ids.dedup();
    Ok(Ok(Some(ids)))
}
