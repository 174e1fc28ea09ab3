//! What belongs to one session: its messages, its turns, its events.

use std::sync::Arc;

use crate::{
    call::Call,
    header,
    problem::{Answer, Problem},
    session_stream::SessionStream,
    state::ApiState,
    visibility::require_session,
};
use evonic_domain::TurnId;

pub(super) async fn list(state: Arc<ApiState>, call: Call) -> Answer {
    let (paging, id) = (call.query.paging()?, call.identify("session")?);
    let list = state.show(move |reader| {
        require_session(reader, &call.caller, &id)?;
        reader.messages(&id, &paging)
    });
    list.await
}

pub(super) async fn list_turns(state: Arc<ApiState>, call: Call) -> Answer {
    let (paging, id) = (call.query.paging()?, call.identify("session")?);
    let list = state.show(move |reader| {
        require_session(reader, &call.caller, &id)?;
        reader.turns(&id, &paging)
    });
    list.await
}

/// The event stream, from after `Last-Event-ID`, else `?after=`, else the beginning.
pub(super) async fn stream(state: Arc<ApiState>, call: Call) -> Answer {
    const NAME: &str = "last-event-id";
    let number = "an event's number";
    let after = call.query.parsed::<u64>("after", number)?;
    let until: Option<TurnId> = call.query.parsed("until_turn", "a turn's identifier")?;
    let refuse = |_| Problem::malformed(NAME, format!("header '{NAME}' must be {number}"));
    let last = match header::single(&call.headers, NAME)? {
        None | Some("") => None,
        Some(text) => Some(text.parse::<u64>().map_err(refuse)?),
    };
    let session = call.identify("session")?;
    let after = last.or(after).unwrap_or(0);
    let stream = SessionStream::open(state, &call.caller, session, after, until).await?;
    Ok(stream.into_response())
}
