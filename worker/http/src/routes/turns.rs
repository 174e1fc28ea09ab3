//! `/api/v1/turns`.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use tokio::time::{Instant, timeout_at};

use crate::{
    answer,
    call::Call,
    keyring,
    problem::{Answer, Problem},
    session_stream::ends_turn,
    state::ApiState,
    visibility::visible_turn,
};
use evonic_domain::{Turn, TurnId};
use evonic_store::{Notice, Subscription};

/// The longest that a client may ask to wait, in seconds.
const MAX_WAIT: u64 = 60;

pub(super) async fn read(state: Arc<ApiState>, call: Call) -> Answer {
    let form = "a number of seconds from 0 to 60";
    let wait = call.query.parsed::<u64>("wait", form)?.unwrap_or(0);
    if wait > MAX_WAIT {
        return Err(Problem::malformed("wait", format!("parameter 'wait' must be {form}")));
    }
    let id = call.identify("turn")?;
    let watched = state.keyring.watch(call.caller.key());
    let turn = state.app.store.read(move |reader| visible_turn(reader, &call.caller, &id)).await?;
    let waiting = wait_for_end(turn, Duration::from_secs(wait), &state);
    match watched.ended().run_until_cancelled(waiting).await {
        Some(turn) => answer::ok(&turn?),
        None => Err(keyring::ended()),
    }
}

pub(super) async fn cancel(state: Arc<ApiState>, call: Call) -> Answer {
    let (id, caller) = (call.identify::<TurnId>("turn")?, call.caller);
    let (store, agents) = (state.app.store.clone(), state.app.agents.clone());
    let cancelling = async move {
        let asked = id.clone();
        let cancel = store.change(caller.origin(), move |writer| {
            visible_turn(writer, &caller, &asked)?;
            writer.request_cancel(&asked)
        });
        let turn = cancel.await?;
        agents.cancel(&id);
        Ok::<_, Problem>(turn)
    };
    let turn = state.see_through(cancelling).await?;
    answer::json(StatusCode::ACCEPTED, &turn)
}

/// The turn, as soon as it has ended, when the time is over, or when the worker drains. Reads
/// only when the log says that a turn of its session ended, or that something was missed, and
/// once more at the end: what is answered is the state of that moment.
async fn wait_for_end(turn: Turn, wait: Duration, state: &ApiState) -> Result<Turn, Problem> {
    let deadline = Instant::now() + wait;
    if turn.state.is_ended() || wait.is_zero() {
        return Ok(turn);
    }
    let (id, session) = (turn.id, turn.session_id);
    let read = || {
        let id = id.clone();
        state.app.store.read(move |reader| reader.turn(&id))
    };
    let mut news = state.app.store.subscribe(&session);
    loop {
        // Also before the first notice: the turn may have ended before the subscription.
        let turn = read().await?;
        if turn.state.is_ended() {
            return Ok(turn);
        }
        let notice = timeout_at(deadline, next_end(&mut news, &id));
        match state.shutdown.draining.run_until_cancelled(notice).await {
            Some(Ok(true)) => {}
            // Draining, out of time, or the store is closing, which still has what was read.
            None | Some(Err(_) | Ok(false)) => return Ok(read().await.unwrap_or(turn)),
        }
    }
}

/// Waits until the turn may have ended; false when the store is closing.
async fn next_end(news: &mut Subscription, turn: &TurnId) -> bool {
    loop {
        match news.next().await {
            Some(Notice::Events(events)) => {
                if events.iter().any(|event| ends_turn(event, turn)) {
                    return true;
                }
            }
            Some(Notice::Foreign) => return true,
            None => return false,
        }
    }
}
