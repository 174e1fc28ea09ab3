//! What handlers serve from.

use std::{sync::Arc, time::Instant};

use evonic_shared::config;
use prometheus_client::registry::Registry;
use serde::Serialize;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::{
    answer,
    call::Call,
    keyring::Keyring,
    open_streams::OpenStreams,
    places::Places,
    problem::{Answer, Problem},
    running_copies::RunningCopies,
    shutdown::Shutdown,
    supervision::Supervision,
};
use evonic_agent::Agents;
use evonic_domain::{Action, Origin};
use evonic_handles::Budget;
use evonic_model::Models;
use evonic_net::outbound::Outbound;
use evonic_store::{AuditedWriter, KeptAnswer, Limiter, Reader, Store, StoreError};
use evonic_workplace::Workplaces;

/// The worker's parts that a server serves from.
#[derive(Clone, Debug)]
pub struct App {
    /// The database.
    pub store: Store,
    /// Counts requests; none where nothing is counted.
    pub limiter: Option<Limiter>,
    /// The queue of turns.
    pub agents: Agents,
    /// The models, to check an agent's model by name.
    pub models: Models,
    /// The tools, to check an agent's tools by name.
    pub tools: evonic_tools::Registry,
    /// Where agents' tools act.
    pub workplaces: Workplaces,
    /// Asks addresses from outside.
    pub outbound: Outbound,
    /// The descriptors of this process.
    pub budget: Budget,
    /// The resolved configuration.
    pub config: Arc<config::Config>,
    /// What the supervisor reported of itself.
    pub supervision: Supervision,
    /// This worker's generation.
    pub generation: u64,
    /// When it started.
    pub started: Instant,
}

/// The state that all handlers share.
pub(super) struct ApiState {
    pub(super) app: App,
    pub(super) keyring: Keyring,
    /// What is counted, for `/metrics`.
    pub(super) registry: Registry,
    pub(super) shutdown: Shutdown,
    /// Changes under way.
    pub(super) changes: TaskTracker,
    /// A session may be gone: streams check whether it is theirs.
    pub(super) deleted: watch::Sender<()>,
    pub(super) copies: RunningCopies,
    pub(super) places: Places,
    pub(super) streams: OpenStreams,
}

/// Why a change is not made: it does not fit, or the database failed.
pub(super) enum Refusal {
    Problem(Problem),
    Store(StoreError),
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl ApiState {
    /// Reads, and answers 200 with what was found.
    ///
    /// # Errors
    /// What `read` returns.
    pub(super) async fn show<T, F>(&self, read: F) -> Answer
    where
        T: Serialize + Send + 'static,
        F: FnOnce(&Reader<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        answer::ok(&self.app.store.read(read).await?)
    }

    /// Changes something, and records it with its origin in the same transaction.
    ///
    /// # Errors
    /// What `change` refuses with.
    pub(super) async fn change<T, F>(&self, origin: Origin, change: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: FnOnce(&mut AuditedWriter<'_, '_>) -> Result<T, Refusal> + Send + 'static,
    {
        let write = self.app.store.change(origin, move |writer| match change(writer) {
            Ok(done) => Ok(Ok(done)),
            Err(Refusal::Problem(problem)) => Ok(Err(problem)),
            Err(Refusal::Store(error)) => Err(error),
        });
        write.await?
    }

    /// Creates something and answers 201 with it, once for each `Idempotency-Key`: the answer is
    /// stored in the same transaction. `create` returns what it created, behind the identifier
    /// by which that is found below `folder`.
    ///
    /// # Errors
    /// What `create` refuses with; 422 when the key was used for another request.
    pub(super) async fn create<T, F>(&self, call: Call, folder: &str, create: F) -> Answer
    where
        T: Serialize,
        F: FnOnce(&mut AuditedWriter<'_, '_>) -> Result<(String, T), Refusal> + Send + 'static,
    {
        let (request, folder) = (call.request_key, folder.to_owned());
        let write = self.change(call.caller.origin(), move |writer| {
            let known = request.as_ref().map(|request| writer.answer(request));
            if let Some(answer) = known.transpose()?.flatten() {
                return Ok(answer);
            }
            let (id, value) = create(writer)?;
            let body = serde_json::to_string(&value).map_err(|error| Problem::internal(&error))?;
            let answer = KeptAnswer { location: format!("{folder}/{id}"), body };
            if let Some(request) = &request {
                writer.keep_answer(request, &answer)?;
            }
            Ok(answer)
        });
        let KeptAnswer { location, body } = write.await?;
        Ok(answer::created(&location, body))
    }

    /// Records work that is about to be done outside the database.
    ///
    /// # Errors
    /// When it cannot be recorded: it must not be done.
    pub(super) async fn record(
        &self,
        origin: Origin,
        action: Action,
        target: String,
        name: Option<String>,
    ) -> Result<(), Problem> {
        let record = self
            .app
            .store
            .change(origin, move |writer| writer.record(action, &target, name.as_deref(), &[]));
        Ok(record.await?)
    }

    /// Sees a change through to its end, also when its client leaves meanwhile: what was written
    /// must reach the queue of turns. A drain waits for it.
    ///
    /// # Errors
    /// What `change` returns; 503 when the time to drain was over first.
    pub(super) async fn see_through<T: Send + 'static, E: Into<Problem> + Send + 'static>(
        &self,
        change: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, Problem> {
        let cut = self.shutdown.cut.clone();
        let change = self.changes.spawn(async move { cut.run_until_cancelled(change).await });
        match change.await {
            Ok(Some(done)) => done.map_err(Into::into),
            Ok(None) => Err(StoreError::Closed.into()),
            Err(panicked) => Err(Problem::internal(&panicked)),
        }
    }
}
