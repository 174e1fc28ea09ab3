//! What is there for a caller: a key that is restricted to agents sees theirs and nothing else.

use crate::caller::Caller;
use evonic_domain::{Agent, Session, SessionId, Turn, TurnId};
use evonic_store::{Reader, StoreError};

/// An agent among those that the caller may use: the others are not there for it.
pub(super) fn visible_agent(
    reader: &Reader<'_>,
    caller: &Caller,
    which: &str,
) -> Result<Agent, StoreError> {
    let agent = reader.agent(which)?;
    if caller.may_use(&agent.id) {
        return Ok(agent);
    }
    Err(StoreError::not_found("agent", which))
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
    Err(StoreError::not_found("session", id))
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
        Err(StoreError::NotFound { .. }) => Err(StoreError::not_found("turn", id)),
        seen => seen.map(|()| turn),
    }
}
