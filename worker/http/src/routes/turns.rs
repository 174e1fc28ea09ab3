//! `/api/v1/turns`.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use tokio::time::{Instant, timeout_at};
use warp::{Filter, reply::Response};

use super::{Site, sessions, with};
use crate::{
    call::{self, Call, Verb, call, respond},
    caller::Caller,
    follow::ends_turn,
    front::Routes,
    problem::{Answer, Problem},
};
use evonic_domain::{Turn, TurnId};
use evonic_store::{Notice, StoreError, Subscription};

/// The longest that a client may ask to wait, in seconds.
const MAX_WAIT: u64 = 60;

/// One turn, and its cancellation.
pub(super) fn routes(site: &Arc<Site>) -> Routes {
    let one = warp::path!("api" / "v1" / "turns" / String).and(call()).and(with(site)).then(one);
    let cancel = warp::path!("api" / "v1" / "turns" / String / "cancel")
        .and(call())
        .and(with(site))
        .then(cancel);
    one.or(cancel).unify().boxed()
}

async fn one(which: String, call: Call, site: Arc<Site>) -> Response {
    let answer = match call.verb {
        Verb::Get => read(&which, &call, &site).await,
        _ => Err(Problem::not_allowed("GET, HEAD")),
    };
    respond("/api/v1/turns/{id}", answer)
}

async fn cancel(which: String, call: Call, site: Arc<Site>) -> Response {
    let answer = match call.verb {
        Verb::Post => request_cancel(&which, &call, &site).await,
        _ => Err(Problem::not_allowed("POST")),
    };
    respond("/api/v1/turns/{id}/cancel", answer)
}

async fn read(which: &str, call: &Call, site: &Site) -> Answer {
    let mut query = call.query();
    let form = "a number of seconds from 0 to 60";
    let wait = query.parsed::<u64>("wait", form)?.unwrap_or(0);
    query.finish()?;
    if wait > MAX_WAIT {
        return Err(Problem::malformed("wait", format!("parameter 'wait' must be {form}")));
    }
    let id = identify(which)?;
    require_visible_turn(&call.caller, &id, site).await?;
    let turn = wait_for_end(id, Duration::from_secs(wait), site).await?;
    call::json(StatusCode::OK, &turn)
}

async fn request_cancel(which: &str, call: &Call, site: &Site) -> Answer {
    call.no_query()?;
    let id = identify(which)?;
    require_visible_turn(&call.caller, &id, site).await?;
    let origin = call.caller.origin();
    let (store, agents) = (site.app.store.clone(), site.app.agents.clone());
    let cancelling = async move {
        let asked = id.clone();
        let turn = store.change(origin, move |changer| changer.request_cancel(&asked)).await?;
        agents.cancel(&id);
        Ok(turn)
    };
    let turn = site.see_through(cancelling).await?;
    call::json(StatusCode::ACCEPTED, &turn)
}

/// Refuses a turn of an agent that the caller may not use: it is not there for it. A turn keeps
/// its session, and a session its agent.
async fn require_visible_turn(caller: &Caller, id: &TurnId, site: &Site) -> Result<(), Problem> {
    if caller.agents.is_none() {
        return Ok(());
    }
    let (caller, turn) = (caller.clone(), id.clone());
    let read = site.app.store.read(move |reader| {
        let session = reader.turn(&turn)?.session_id;
        match sessions::visible(reader, &caller, &session) {
            Err(StoreError::NotFound { .. }) => {
                Err(StoreError::NotFound { what: "turn", id: turn.to_string() })
            }
            seen => seen.map(drop),
        }
    });
    Ok(read.await?)
}

fn identify(which: &str) -> Result<TurnId, Problem> {
    which.parse().map_err(|_| Problem::not_found(format!("no turn {which}")))
}

/// The turn, as soon as it has ended, at the end of patience, or when the worker drains. Reads
/// only when the log says that a turn of its session ended, or that something was missed.
async fn wait_for_end(id: TurnId, patience: Duration, site: &Site) -> Result<Turn, Problem> {
    let deadline = Instant::now() + patience;
    let read = || {
        let id = id.clone();
        site.app.store.read(move |reader| reader.turn(&id))
    };
    let mut turn = read().await?;
    if turn.state.is_ended() || patience.is_zero() {
        return Ok(turn);
    }
    let mut news = site.app.store.subscribe(&turn.session_id);
    loop {
        // Also before the first notice: the turn may have ended before the subscription.
        turn = read().await?;
        if turn.state.is_ended() {
            return Ok(turn);
        }
        let notice = timeout_at(deadline, next_end(&mut news, &id));
        match site.ends.draining.run_until_cancelled(notice).await {
            Some(Ok(true)) => {}
            // Draining, out of patience, or the store is closing.
            None | Some(Err(_) | Ok(false)) => return Ok(turn),
        }
    }
}

/// Waits until the turn may have ended; false when there will be no more news.
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
