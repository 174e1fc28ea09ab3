//! Workplaces in containers (Docker, by bollard): one container for each session.
//!
//! ```text
//!   Docker       the backend: commands by Spool over Sandbox, files by the archive endpoints
//!     |
//!   Container    provisioned, leased, stopped when idle
//!     |                 ^
//!     |          ContainerManager    engines, containers   <---- reconcile: engine, table
//!     |                 |
//!   Engine       client, agreed version, health
//!     |
//!   Transport    the gate of kind `docker`: one connection a request
//! ```
//!
//! | Module | Owns |
//! |---|---|
//! | `backend`, `shell`, `run_script` | commands, by an attached exec each |
//! | `reading`, `writing`, `upload`, `archive` | files, by the archive endpoints |
//! | `container`, `provision`, `spec`, `diagnosis` | a container: its use, how it comes up, what it has, why it does not run |
//! | `container_manager`, `reconcile` | all of them, and their rows in the container table |
//! | `engine`, `transport`, `address`, `tls`, `error` | requests to an engine |
//! | `bound`, `answer`, `frames` | how much it may answer, and what of that is used |
//! | `check`, `sandbox` | the check of a workplace; the default image |
//!
//! # Invariants
//! - A container has no more than its spec gives: limits, a read-only root, no capabilities, no
//!   network unless asked, and one mount: the workspace, a volume of its session.
//! - A container that is leased, or in which anything runs, is never stopped to make room.
//! - Nothing is touched that does not carry this instance's label.
//! - A container does not know the manager that holds it: no reference cycle.

mod address;
mod answer;
mod archive;
mod backend;
mod bound;
mod check;
mod container;
mod container_manager;
mod diagnosis;
mod engine;
mod error;
mod frames;
mod provision;
mod reading;
mod reconcile;
mod run_script;
mod sandbox;
mod shell;
mod spec;
#[cfg(test)]
mod tests;
mod tls;
mod transport;
mod upload;
mod writing;

use std::{sync::Arc, time::Duration};

use evonic_backend::{BackendDeps, CheckStep, End, HostState, Result, check::Steps};
use evonic_domain::{DockerSettings, SessionId, WorkplaceId};
use evonic_shared::error_chain::ErrorChain;
use futures_util::future::join_all;
use tokio::sync::mpsc;

pub use self::backend::Docker;
use self::container_manager::ContainerManager;

/// Every engine of this worker, and this instance's containers on them.
#[derive(Debug)]
pub struct Engines {
    manager: Arc<ContainerManager>,
}

impl Engines {
    /// Starts reconciling the engines with the container table, on this runtime.
    pub fn start(parts: &BackendDeps) -> Self {
        let manager = Arc::new(ContainerManager::new(parts));
        manager.tasks.spawn(reconcile::run(Arc::clone(&manager)));
        Self { manager }
    }

    /// The workplace of a session: its container is made or started when it is first used.
    ///
    /// # Errors
    /// [`evonic_backend::WorkplaceError::Settings`].
    pub fn open(
        &self,
        workplace: &WorkplaceId,
        settings: &DockerSettings,
        session: &SessionId,
    ) -> Result<Docker> {
        let container = self.manager.container(workplace, settings, session)?;
        Ok(Docker::new(Arc::clone(&self.manager), container))
    }

    /// See `Workplaces::check`.
    pub async fn check(&self, settings: &DockerSettings, steps: mpsc::Sender<CheckStep>) {
        check::check(&self.manager, settings, &Steps::new(steps)).await;
    }

    /// Builds the default image from the Dockerfile that ships with the product, under the name in
    /// these settings, and sends the output of the build.
    ///
    /// # Errors
    /// [`evonic_backend::WorkplaceError`].
    pub async fn build_sandbox(
        &self,
        settings: &DockerSettings,
        output: mpsc::Sender<String>,
    ) -> Result<()> {
        let engine = self.manager.engine(settings)?;
        sandbox::build(&engine, &settings.image, &output).await
    }

    /// Every engine that was used.
    pub fn states(&self) -> Vec<HostState> {
        self.manager.engines().iter().map(|engine| engine.state()).collect()
    }

    /// A session is gone: so are its containers and their workspaces, soon.
    pub fn session_deleted(&self, session: &SessionId) {
        tracing::debug!(session_id = session.as_str(), "containers of a session go");
        self.manager.wake.notify_one();
    }

    /// Ends every connection; stops the containers when the service stops. Both within `timeout`.
    pub async fn close(&self, end: End, timeout: Duration) {
        self.manager.ending.cancel();
        let all = async {
            if end == End::Stopped {
                self.stop_all().await;
            }
            self.manager.closing.cancel();
            self.manager.tasks.close();
            self.manager.tasks.wait().await;
        };
        if tokio::time::timeout(timeout, all).await.is_err() {
            tracing::warn!("containers were not all stopped in time");
            self.manager.closing.cancel();
        }
    }

    #[cfg(test)]
    fn manager(&self) -> &Arc<ContainerManager> {
        &self.manager
    }

    async fn stop_all(&self) {
        let engines = self.manager.engines();
        join_all(engines.iter().map(|engine| async move {
            if let Err(failed) = reconcile::stop_all(engine, &self.manager.parts.instance).await {
                let (engine, reason) =
                    (engine.address.to_string(), ErrorChain(&failed.error).to_string());
                tracing::warn!(engine, reason, "containers not stopped");
            }
        }))
        .await;
    }
}

impl Drop for Engines {
    fn drop(&mut self) {
        self.manager.ending.cancel();
        self.manager.closing.cancel();
    }
}
