//! What belongs to one session: its messages, its turns, its events.

use std::sync::Arc;

use http::StatusCode;

use crate::{
    answer,
    call::Call,
    header,
    problem::{Answer, Problem},
    session_stream::SessionStream,
    state::ApiState,
    visibility::require_session,
};
use evonic_domain::{NewMessage, TurnId};

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

/// 202 once the message is on disk and its turn is queued. A message keeps its `Idempotency-Key`
/// itself, for as long as its session is there: its answer is made anew from what is stored.
pub(super) async fn post(state: Arc<ApiState>, call: Call, new: NewMessage) -> Answer {
    let (id, key, caller) = (call.identify("session")?, call.request_key, call.caller);
    let NewMessage { content } = new;
    if content.trim().is_empty() {
        return Err(Problem::unusable("content", "field 'content': a message is not empty"));
    }
    let max_queued = state.app.config.agents.max_queued;
    let (store, agents) = (state.app.store.clone(), state.app.agents.clone());
    let posting = async move {
        let write = store.change(caller.origin(), move |writer| {
            require_session(writer, &caller, &id)?;
            let request_id = Some(caller.request_id.as_str());
            let key = key.map(|request| request.key);
            writer.post_message(&id, &content, key.as_deref(), max_queued, request_id)
        });
        let posted = write.await?;
        agents.wake();
        Ok(posted)
    };
    let posted = state.see_through(posting).await?;
    let location = format!("/api/v1/turns/{}", posted.turn.id);
    Ok(answer::located(StatusCode::ACCEPTED, &location, answer::ok(&posted)?))
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
