//! Workplaces in containers (Docker, by bollard): one container for each session.
//!
//! ```text
//!   Backend      commands by Spool over Shell, files by the archive endpoints
//!     |
//!   Container  made, started, leased, stopped when idle      <---- sweep: engine against ledger
//!     |
//!   Engine     client, agreed version, how it fares
//!     |
//!   Wire       the gate of kind `docker`: one connection a request
//! ```
//!
//! # Invariants
//! - A container has no more than its recipe gives: limits, a read-only root, no capabilities, no
//!   network unless asked, and one mount: the workspace, a volume of its session.
//! - A container that is leased, or in which anything runs, is never stopped to make room.
//! - Nothing is touched that does not carry this instance's label.

mod address;
mod backend;
mod container;
mod engine;
mod fault;
mod house;
mod making;
mod order;
mod reading;
mod recipe;
mod sandbox;
mod shell;
mod sweep;
mod tape;
mod tcp;
#[cfg(test)]
mod tests;
mod tls;
mod trial;
mod upload;
mod wire;
mod writing;

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::sync::mpsc;

pub use self::backend::Docker;
use self::{container::Container, house::House, recipe::Identity};
use evonic_backend::{BackendDeps, CheckStep, End, HostState, WorkplaceError};
use evonic_domain::{DockerSettings, SessionId, WorkplaceId};

/// Every engine of this worker, and this instance's containers on them.
#[derive(Debug)]
pub struct Engines {
    house: Arc<House>,
}

impl Engines {
    /// Engines by these settings. Starts comparing them with the ledger, on this runtime.
    pub fn start(parts: &BackendDeps) -> Self {
        let house = Arc::new(House::new(parts));
        house.tasks.spawn(sweep::run(Arc::clone(&house)));
        Self { house }
    }

    /// The workplace of a session: its container is made or started when it is first used.
    ///
    /// # Errors
    /// [`WorkplaceError::Settings`].
    pub fn open(
        &self,
        workplace: &WorkplaceId,
        settings: &DockerSettings,
        session: &SessionId,
    ) -> Result<Docker, WorkplaceError> {
        recipe::User::of(settings)?;
        let engine = self.house.engine(settings)?;
        let identity = Identity::new(&self.house.parts.instance, workplace, session);
        let mut containers = self.house.containers();
        let known = containers.get(&identity.name).filter(|one| Arc::ptr_eq(&one.engine, &engine));
        if let Some(container) = known {
            container.set(settings.clone());
            return Ok(Docker::new(Arc::clone(container)));
        }
        let name = identity.name.clone();
        let house = Arc::clone(&self.house);
        let container = Arc::new(Container::new(identity, engine, house, settings.clone()));
        containers.insert(name, Arc::clone(&container));
        Ok(Docker::new(container))
    }

    /// See `Workplaces::check`.
    pub async fn check(&self, settings: &DockerSettings, steps: mpsc::Sender<CheckStep>) {
        trial::check(&self.house, settings, steps).await;
    }

    /// Builds the default image from the Dockerfile that ships with the product, under the name in
    /// these settings, and hands on what the engine says.
    ///
    /// # Errors
    /// [`WorkplaceError`].
    pub async fn build_sandbox(
        &self,
        settings: &DockerSettings,
        said: mpsc::Sender<String>,
    ) -> Result<(), WorkplaceError> {
        let engine = self.house.engine(settings)?;
        sandbox::build(&engine, &settings.image, &said).await
    }

    /// Every engine that was used.
    pub fn states(&self) -> Vec<HostState> {
        self.house.engines().iter().map(|engine| engine.state()).collect()
    }

    /// A session is gone: so are its containers and their workspaces, soon.
    pub fn session_deleted(&self, session: &SessionId) {
        tracing::debug!(session_id = session.as_str(), "containers of a session go");
        self.house.wake.notify_one();
    }

    /// Ends every connection; stops the containers when the service stops. Both within `patience`.
    pub async fn close(&self, end: End, patience: Duration) {
        self.house.ending.cancel();
        let all = async {
            if end == End::Stopped {
                self.stop_all().await;
            }
            self.house.closing.cancel();
            self.house.tasks.close();
            self.house.tasks.wait().await;
        };
        if tokio::time::timeout(patience, all).await.is_err() {
            tracing::warn!("containers were not all stopped in time");
            self.house.closing.cancel();
        }
    }

    #[cfg(test)]
    fn house(&self) -> &Arc<House> {
        &self.house
    }

    async fn stop_all(&self) {
        let engines = self.house.engines();
        join_all(engines.iter().map(|engine| async move {
            if let Err(failed) = sweep::stop_all(engine, &self.house.parts.instance).await {
                let (engine, reason) = (engine.address.to_string(), fault::told(&failed.error));
                tracing::warn!(engine, reason, "containers not stopped");
            }
        }))
        .await;
    }
}

impl Drop for Engines {
    fn drop(&mut self) {
        self.house.ending.cancel();
        self.house.closing.cancel();
        // They and the house know each other.
        self.house.containers().clear();
    }
}
