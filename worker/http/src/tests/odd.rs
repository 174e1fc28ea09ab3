//! Routes that do what real ones cannot be made to: panic, dawdle, stream without end.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use warp::reply::Reply;

use crate::{
    answer,
    call::Call,
    event_stream,
    problem::Answer,
    route::{
        Access::{Free, OfAgents},
        Route,
    },
};
use evonic_domain::Scope;

/// What they serve from.
pub(super) type Draining = CancellationToken;

/// Of these one needs a key.
pub(super) fn routes() -> Vec<Route<Draining>> {
    vec![
        Route::post("/echo", Free, echo),
        Route::get("/big/{bytes}", Free, big),
        Route::get("/panic", Free, panics),
        Route::get("/late/{milliseconds}", Free, late),
        Route::get("/ticks", Free, ticks),
        Route::get("/events", Free, events),
        Route::get("/keyed/{milliseconds}", OfAgents(Scope::Read), late),
    ]
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Echo {
    content: String,
}

async fn echo(_draining: Arc<Draining>, _call: Call, echo: Echo) -> Answer {
    answer::ok(&echo.content.len())
}

async fn big(_draining: Arc<Draining>, call: Call) -> Answer {
    Ok(vec![b'x'; call.id.parse().unwrap()].into_response())
}

async fn panics(_draining: Arc<Draining>, _call: Call) -> Answer {
    panic!("as the test asked")
}

async fn late(_draining: Arc<Draining>, call: Call) -> Answer {
    tokio::time::sleep(Duration::from_millis(call.id.parse().unwrap())).await;
    Ok("late".into_response())
}

async fn ticks(draining: Arc<Draining>, _call: Call) -> Answer {
    let ticks = stream::unfold(Some(draining), |draining| async {
        let draining = draining?;
        let tick = tokio::time::sleep(Duration::from_millis(5));
        match draining.run_until_cancelled(tick).await {
            Some(()) => Some((Ok::<_, std::io::Error>("tick\n"), Some(draining))),
            None => Some((Ok("end\n"), None)),
        }
    });
    Ok(warp::reply::stream(Box::pin(ticks)).into_response())
}

async fn events(_draining: Arc<Draining>, _call: Call) -> Answer {
    let first = stream::iter([Bytes::from_static(b": \n\n")]);
    Ok(event_stream::respond(first.chain(stream::pending())))
}
