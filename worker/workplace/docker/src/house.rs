//! What all containers of this worker share: the ledger, the settings, who is there.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use evonic_shared::config;
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    BackendDeps, WorkplaceError, address::Address, container::Container, engine::Engine, fault,
};
use evonic_backend::Stage;
use evonic_domain::DockerSettings;
use evonic_store::{Reader, StoreError, Writer};

/// Engines and containers of this worker.
pub(super) struct House {
    pub(super) parts: BackendDeps,
    pub(super) tasks: TaskTracker,
    /// Ends every connection.
    pub(super) closing: CancellationToken,
    /// Ends the comparison.
    pub(super) ending: CancellationToken,
    /// Asks for a round of it.
    pub(super) wake: Notify,
    engines: Mutex<HashMap<Address, Arc<Engine>>>,
    /// By name.
    containers: Mutex<HashMap<String, Arc<Container>>>,
}

impl std::fmt::Debug for House {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("House").field("instance", &self.parts.instance).finish_non_exhaustive()
    }
}

impl House {
    pub(super) fn new(parts: &BackendDeps) -> Self {
        Self {
            parts: parts.clone(),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            ending: CancellationToken::new(),
            wake: Notify::new(),
            engines: Mutex::default(),
            containers: Mutex::default(),
        }
    }

    pub(super) fn config(&self) -> &config::Docker {
        &self.parts.config.docker
    }

    /// The engine of a workplace. Connects to nothing.
    ///
    /// # Errors
    /// [`WorkplaceError::Settings`].
    pub(super) fn engine(&self, settings: &DockerSettings) -> Result<Arc<Engine>, WorkplaceError> {
        self.engine_at(Address::of(settings, self.config())?)
    }

    /// The engine at an address. Connects to nothing.
    ///
    /// # Errors
    /// [`WorkplaceError::Settings`] when its certificates cannot be used.
    pub(super) fn engine_at(&self, address: Address) -> Result<Arc<Engine>, WorkplaceError> {
        let mut engines = self.all_engines();
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

    /// Every engine that was used.
    pub(super) fn engines(&self) -> Vec<Arc<Engine>> {
        self.all_engines().values().cloned().collect()
    }

    fn all_engines(&self) -> MutexGuard<'_, HashMap<Address, Arc<Engine>>> {
        self.engines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Containers that this worker used.
    pub(super) fn containers(&self) -> MutexGuard<'_, HashMap<String, Arc<Container>>> {
        self.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the ledger.
    ///
    /// # Errors
    /// [`WorkplaceError::Unreachable`] of the ledger.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, WorkplaceError> {
        self.parts.store.read(read).await.map_err(ledger)
    }

    /// Writes the ledger.
    ///
    /// # Errors
    /// [`WorkplaceError::Unreachable`] of the ledger.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&mut Writer<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, WorkplaceError> {
        self.parts.store.write(write).await.map_err(ledger)
    }
}

fn ledger(error: StoreError) -> WorkplaceError {
    match error {
        StoreError::Exhausted(exhausted) => exhausted.into(),
        error => WorkplaceError::Unreachable {
            host: "the database".to_owned(),
            stage: Stage::ContainerTable,
            source: evonic_backend::error::Cause(fault::told(&error)),
        },
    }
}
