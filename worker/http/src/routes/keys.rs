//! `/api/v1/keys`.

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, StatusCode, header::CACHE_CONTROL};

use crate::{
    answer,
    call::Call,
    problem::{Answer, Problem},
    state::{ApiState, Refusal},
};
use evonic_domain::{AgentId, IssuedKey, NewKey, Scope, Token};
use evonic_store::{KeyRow, Reader, StoreError};

/// The longest time that a key may be valid and still end: a hundred years.
const LONGEST: u64 = 100 * 365 * 24 * 3600;

/// The most agents that a key names.
const AGENTS: usize = 64;

pub(super) async fn list(state: Arc<ApiState>, call: Call) -> Answer {
    let paging = call.query.paging()?;
    state.show(move |reader| reader.keys(&paging)).await
}

/// Makes a key and shows it, this once: no `Idempotency-Key`, for the answer is stored nowhere.
pub(super) async fn create(state: Arc<ApiState>, call: Call, new: NewKey) -> Answer {
    require_sound(&new)?;
    let token = Token::random().map_err(|error| Problem::internal(&error))?;
    let (id, hash) = (token.id().clone(), token.hash());
    let NewKey { name, scope, expires_in_seconds, agents } = new;
    let create = state.change(call.caller.origin(), move |writer| {
        let agents = settle(writer, agents)?;
        let expires_in = expires_in_seconds.map(Duration::from_secs);
        Ok(writer.create_key(KeyRow { id, name, hash, scope, agents, expires_in })?)
    });
    let key = create.await?;
    let issued = IssuedKey { key, secret: token.reveal().to_owned() };
    let location = format!("/api/v1/keys/{}", issued.key.id);
    let mut response = answer::located(StatusCode::CREATED, &location, answer::ok(&issued)?);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

pub(super) async fn read(state: Arc<ApiState>, call: Call) -> Answer {
    state.show(move |reader| reader.key(&call.id)).await
}

/// Revokes a key. It stays in the list, and stays revoked. A key does not revoke itself: the last
/// one would lock out all who may not use the Unix socket.
pub(super) async fn revoke(state: Arc<ApiState>, call: Call) -> Answer {
    let own = call.caller.key().cloned();
    let revoke = state.change(call.caller.origin(), move |writer| {
        let key = writer.key(&call.id)?;
        if own.as_ref() == Some(&key.id) {
            let name = key.name;
            let detail = format!("key {name} is the one that is shown; revoke it by another");
            return Err(Problem::new(StatusCode::CONFLICT, "own_key", detail).into());
        }
        Ok(writer.revoke_key(key.id.as_str())?)
    });
    let key = revoke.await?;
    state.keyring.revoked(&key.id);
    state.places.evict_stalled(&key.id);
    answer::no_content()
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

/// Replaces the names of agents by their identifiers.
fn settle(
    reader: &Reader<'_>,
    agents: Option<Vec<String>>,
) -> Result<Option<Vec<AgentId>>, Refusal> {
    let Some(agents) = agents else { return Ok(None) };
    let mut ids = Vec::new();
    for (index, which) in agents.iter().enumerate() {
        match reader.agent(which) {
            Ok(agent) => ids.push(agent.id),
            Err(StoreError::NotFound { .. }) => {
                let detail = format!("there is no agent '{which}'");
                return Err(Problem::unusable(&format!("agents[{index}]"), detail).into());
            }
            Err(error) => return Err(error.into()),
        }
    }
    ids.sort();
    ids.dedup();
    Ok(Some(ids))
}
