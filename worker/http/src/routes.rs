//! Every route, by resource. A path that matches is answered; nothing is rejected.

mod agents;
mod audit;
mod copies;
pub(super) mod decisions;
mod keys;
mod messages;
pub(super) mod sessions;
mod system;
mod turns;
mod workplaces;

use std::{convert::Infallible, sync::Arc};

use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use warp::Filter;

use crate::{
    App,
    call::respond,
    front::{Ends, Routes},
    keyring::Keyring,
    metrics::Metrics,
    problem::Problem,
};
use evonic_domain::{Action, Origin};
use evonic_store::StoreError;

/// What handlers serve from.
pub(super) struct Site {
    /// The worker's parts.
    pub(super) app: App,
    /// Who is known.
    pub(super) keyring: Keyring,
    /// What is counted.
    pub(super) metrics: Arc<Metrics>,
    /// When the server stops.
    pub(super) ends: Ends,
    /// Changes under way.
    pub(super) changes: TaskTracker,
    /// A session may be gone: streams look whether it is theirs.
    pub(super) deleted: watch::Sender<()>,
    /// Copies under way.
    pub(super) copies: copies::Copies,
}

impl Site {
    /// Records work that is about to be done outside the database.
    ///
    /// # Errors
    /// When it cannot be recorded: it must not be done.
    async fn record(
        &self,
        origin: Origin,
        action: Action,
        target: String,
        name: Option<String>,
    ) -> Result<(), Problem> {
        let record = self
            .app
            .store
            .change(origin, move |changer| changer.record_work(action, &target, name.as_deref()));
        Ok(record.await?)
    }

    /// Sees a change through to its end, also when its client leaves meanwhile: what was written
    /// must reach the queue of turns. A drain waits for it.
    ///
    /// # Errors
    /// What `change` returns; 503 when patience was over first.
    pub(super) async fn see_through<T: Send + 'static>(
        &self,
        change: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, Problem> {
        let cut = self.ends.cut.clone();
        let change = self.changes.spawn(async move { cut.run_until_cancelled(change).await });
        match change.await {
            Ok(Some(done)) => Ok(done?),
            Ok(None) => Err(StoreError::Closed.into()),
            Err(panicked) => Err(Problem::internal(&panicked)),
        }
    }
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
        .or(workplaces::routes(site))
        .unify()
        .or(copies::routes(site))
        .unify()
        .or(audit::routes(site))
        .unify()
        .or(keys::routes(site))
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
