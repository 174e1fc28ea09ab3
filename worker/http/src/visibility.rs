//! What is there for a caller: a key that is restricted to agents sees theirs and nothing else.

use crate::caller::Caller;
use evonic_domain::{Agent, AgentId, AgentName, Session, SessionId, Turn, TurnId};
use evonic_store::{Reader, StoreError};

/// An agent by its identifier or its name; the two cannot be confused, as no name has a `_`.
pub(super) fn agent(reader: &Reader<'_>, which: &str) -> Result<Agent, StoreError> {
    if let Ok(id) = which.parse::<AgentId>() {
        return reader.agent(&id);
    }
    match which.parse::<AgentName>() {
        Ok(name) => reader.agent_named(&name),
        Err(_) => Err(StoreError::NotFound { what: "agent", id: which.to_owned() }),
    }
}

/// The same among those that the caller may use: the others are not there for it.
pub(super) fn visible_agent(
    reader: &Reader<'_>,
    caller: &Caller,
    which: &str,
) -> Result<Agent, StoreError> {
    let agent = agent(reader, which)?;
    if caller.may_use(&agent.id) {
        return Ok(agent);
    }
    Err(StoreError::NotFound { what: "agent", id: which.to_owned() })
}

/// A session of an agent that the caller may use.
pub(super) fn visible_session(
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
pub(super) fn require_session(
    reader: &Reader<'_>,
    caller: &Caller,
    id: &SessionId,
) -> Result<(), StoreError> {
    if caller.agents.is_none() { Ok(()) } else { visible_session(reader, caller, id).map(drop) }
}

/// A turn of an agent that the caller may use. A turn keeps its session, and a session its agent.
pub(super) fn visible_turn(
    reader: &Reader<'_>,
    caller: &Caller,
    id: &TurnId,
) -> Result<Turn, StoreError> {
    let turn = reader.turn(id)?;
    match require_session(reader, caller, &turn.session_id) {
        Err(StoreError::NotFound { .. }) => {
            Err(StoreError::NotFound { what: "turn", id: id.to_string() })
        }
        seen => seen.map(|()| turn),
    }
}
