//! The engines and containers of this worker, and the container table.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use evonic_backend::{BackendDeps, Result, Stage, WorkplaceError};
use evonic_domain::{DockerSettings, SessionId, WorkplaceId};
use evonic_shared::{config, error_chain::ErrorChain};
use evonic_store::{Reader, StoreError, Writer};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    address::Address,
    container::Container,
    engine::Engine,
    spec::{Identity, User},
};

#[derive(Debug)]
pub(super) struct ContainerManager {
    pub(super) parts: BackendDeps,
    pub(super) tasks: TaskTracker,
    /// Ends every connection.
    pub(super) closing: CancellationToken,
    /// Ends the reconciliation.
    pub(super) ending: CancellationToken,
    /// Asks for a round of the reconciliation.
    pub(super) wake: Notify,
    engines: Mutex<HashMap<Address, Arc<Engine>>>,
    /// By name.
    containers: Mutex<HashMap<String, Arc<Container>>>,
    started: Instant,
}

impl ContainerManager {
    pub(super) fn new(parts: &BackendDeps) -> Self {
        Self {
            parts: parts.clone(),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            ending: CancellationToken::new(),
            wake: Notify::new(),
            engines: Mutex::default(),
            containers: Mutex::default(),
            started: Instant::now(),
        }
    }

    /// How long this worker has been looking after containers.
    pub(super) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    pub(super) fn config(&self) -> &config::Docker {
        &self.parts.config.docker
    }

    /// The engine of a workplace. Connects to nothing.
    ///
    /// # Errors
    /// [`WorkplaceError::Settings`].
    pub(super) fn engine(&self, settings: &DockerSettings) -> Result<Arc<Engine>> {
        self.engine_at(Address::of(settings, self.config())?)
    }

    /// The engine at an address. Connects to nothing.
    ///
    /// # Errors
    /// [`WorkplaceError::Settings`] when its certificates cannot be used.
    pub(super) fn engine_at(&self, address: Address) -> Result<Arc<Engine>> {
        let mut engines = self.engines.lock();
        if let Some(engine) = engines.get(&address) {
            return Ok(Arc::clone(engine));
        }
        let engine = Arc::new(Engine::new(
            address.clone(),
            self.config().timeout,
            self.parts.budget.clone(),
            self.tasks.clone(),
            self.closing.clone(),
        )?);
        engines.insert(address, Arc::clone(&engine));
        Ok(engine)
    }

    /// The container of a session in a workplace, which gets these settings.
    ///
    /// # Errors
    /// [`WorkplaceError::Settings`].
    pub(super) fn container(
        &self,
        workplace: &WorkplaceId,
        settings: &DockerSettings,
        session: &SessionId,
    ) -> Result<Arc<Container>> {
        User::of(settings)?;
        let engine = self.engine(settings)?;
        let identity = Identity::new(&self.parts.instance, workplace, session);
        let mut containers = self.containers();
        let known = containers.get(&identity.name).filter(|one| Arc::ptr_eq(&one.engine, &engine));
        if let Some(container) = known {
            container.set_settings(settings.clone());
            return Ok(Arc::clone(container));
        }
        let name = identity.name.clone();
        let container = Arc::new(Container::new(identity, engine, settings.clone()));
        containers.insert(name, Arc::clone(&container));
        Ok(container)
    }

    /// Every engine that was used.
    pub(super) fn engines(&self) -> Vec<Arc<Engine>> {
        self.engines.lock().values().cloned().collect()
    }

    /// Containers that this worker used, by name.
    pub(super) fn containers(&self) -> MutexGuard<'_, HashMap<String, Arc<Container>>> {
        self.containers.lock()
    }

    /// Reads the container table.
    ///
    /// # Errors
    /// [`WorkplaceError::Unreachable`] of the database.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T> {
        self.parts.store.read(read).await.map_err(container_table)
    }

    /// Writes the container table.
    ///
    /// # Errors
    /// [`WorkplaceError::Unreachable`] of the database.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&mut Writer<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T> {
        self.parts.store.write(write).await.map_err(container_table)
    }
}

fn container_table(error: StoreError) -> WorkplaceError {
    match error {
        StoreError::Exhausted(exhausted) => exhausted.into(),
        error => {
            let reason = ErrorChain(&error).to_string();
            WorkplaceError::unreachable("the database", Stage::ContainerTable, reason)
        }
    }
}
