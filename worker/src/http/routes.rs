//! Every route, by resource. A path that matches is answered; nothing is rejected.

mod agents;
mod messages;
mod sessions;
mod system;
mod turns;

use std::{convert::Infallible, sync::Arc};

use tokio_util::sync::CancellationToken;
use warp::Filter;

use crate::http::{App, call::respond, front::Routes, metrics::Metrics, problem::Problem};

/// What handlers serve from.
pub(super) struct Site {
    /// The worker's parts.
    pub(super) app: App,
    /// What is counted.
    pub(super) metrics: Arc<Metrics>,
    /// Fires when the worker drains.
    pub(super) draining: CancellationToken,
}

/// All of them.
pub(super) fn routes(site: &Arc<Site>) -> Routes {
    system::routes(site)
        .or(messages::routes(site))
        .unify()
        .or(turns::routes(site))
        .unify()
        .or(sessions::routes(site))
        .unify()
        .or(agents::routes(site))
        .unify()
        .or(warp::any().map(|| respond("", Err(Problem::not_found("there is nothing here")))))
        .unify()
        .boxed()
}

/// Hands the site to a handler.
fn with(
    site: &Arc<Site>,
) -> impl Filter<Extract = (Arc<Site>,), Error = Infallible> + Clone + use<> {
    let site = Arc::clone(site);
    warp::any().map(move || Arc::clone(&site))
}
