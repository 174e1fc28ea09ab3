//! Routes that do what real ones cannot be made to: panic, dawdle, stream without end.

use std::time::Duration;

use evonic_shared::config;
use futures_util::stream;
use http::StatusCode;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use warp::{Filter, reply::Reply};

use crate::{
    call::{Call, Verb, call, json, respond},
    front::Routes,
    problem::Problem,
    routes::decisions::{Decision, Need},
};

const fn free(template: &'static str, verb: Verb) -> Decision {
    Decision { template, verb, need: Need::Nothing }
}

/// Nothing odd needs a key.
pub(super) const DECISIONS: &[Decision] = &[
    free("/echo", Verb::Post),
    free("/big/{bytes}", Verb::Get),
    free("/panic", Verb::Get),
    free("/late/{milliseconds}", Verb::Get),
    free("/ticks", Verb::Get),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Echo {
    content: String,
}

/// `/echo`, `/big/BYTES`, `/panic`, `/late/MILLISECONDS`, `/ticks`.
pub(super) fn routes(settings: &config::Http, draining: &CancellationToken) -> Routes {
    let settings = settings.clone();
    let echo = warp::path!("echo").and(call()).then(move |call: Call| {
        let settings = settings.clone();
        async move {
            let echo = call.json::<Echo>(&settings).await;
            respond("/echo", echo.and_then(|echo| json(StatusCode::OK, &echo.content.len())))
        }
    });
    let big = warp::path!("big" / usize).map(|bytes| vec![b'x'; bytes].into_response());
    let panics = warp::path!("panic").then(|| async { panic!("as the test asked") });
    let late = warp::path!("late" / u64).then(|milliseconds| async move {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        "late".into_response()
    });
    let draining = draining.clone();
    let ticks = warp::path!("ticks").map(move || {
        let ticks = stream::unfold(Some(draining.clone()), |draining| async {
            let draining = draining?;
            let tick = tokio::time::sleep(Duration::from_millis(5));
            match draining.run_until_cancelled(tick).await {
                Some(()) => Some((Ok::<_, std::io::Error>("tick\n"), Some(draining))),
                None => Some((Ok("end\n"), None)),
            }
        });
        warp::reply::stream(Box::pin(ticks)).into_response()
    });
    let rest = warp::any().map(|| respond("", Err(Problem::not_found("nothing"))));
    echo.or(big)
        .unify()
        .or(panics)
        .unify()
        .or(late)
        .unify()
        .or(ticks)
        .unify()
        .or(rest)
        .unify()
        .boxed()
}
