//! One session's container: made, started, counted in use, stopped when idle.
//!
//! ```text
//!            row written                       first use, or the next after it stopped
//!  no row ---------------> no container ----> made ----> running <----> stopped
//!                               ^                            |             |
//!                               +------- vanished -----------+-------------+
//! ```
//!
//! A [`Lease`] keeps it from being stopped. It is given out and refused under the same lock under
//! which the container is stopped.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};

use tokio::{sync::OnceCell, time::Instant};

use super::{
    WorkplaceError,
    engine::Engine,
    fault::{self, Failed},
    house::House,
    making,
    recipe::{IDLE_PROCESSES, Identity, User},
};
use evonic_backend::{Home, Stage};
use evonic_domain::DockerSettings;

/// The most news that wait to be told.
const MOST_NEWS: usize = 8;

/// A session's container. One value in a worker for each.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) identity: Identity,
    pub(super) engine: Arc<Engine>,
    pub(super) house: Arc<House>,
    settings: Mutex<DockerSettings>,
    /// The engine's identifier while it runs, as far as is known.
    running: tokio::sync::Mutex<Option<String>>,
    users: AtomicU32,
    used: Mutex<Instant>,
    /// Whether it was used since the ledger was told.
    fresh: AtomicBool,
    news: Mutex<Vec<String>>,
    /// Kills for want of memory that were told.
    pub(super) memory_kills: AtomicU64,
    /// Whether old records of commands were removed since this worker first used it.
    pub(super) tidied: AtomicBool,
    /// The user's home, asked for once.
    pub(super) home: OnceCell<Home>,
}

impl Container {
    pub(super) fn new(
        identity: Identity,
        engine: Arc<Engine>,
        house: Arc<House>,
        settings: DockerSettings,
    ) -> Self {
        Self {
            identity,
            engine,
            house,
            settings: Mutex::new(settings),
            running: tokio::sync::Mutex::default(),
            users: AtomicU32::new(0),
            used: Mutex::new(Instant::now()),
            fresh: false.into(),
            news: Mutex::default(),
            memory_kills: AtomicU64::new(0),
            tidied: false.into(),
            home: OnceCell::new(),
        }
    }

    /// Other settings hold from the next start on.
    pub(super) fn set(&self, settings: DockerSettings) {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = settings;
    }

    pub(super) fn settings(&self) -> DockerSettings {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// As whom commands run.
    ///
    /// # Errors
    /// [`WorkplaceError::Settings`].
    pub(super) fn user(&self) -> Result<User, WorkplaceError> {
        User::of(&self.settings())
    }

    /// The container, made and started if need be, and kept from being stopped until the lease is
    /// dropped.
    ///
    /// # Errors
    /// [`WorkplaceError`].
    pub(super) async fn lease(self: &Arc<Self>) -> Result<Lease, WorkplaceError> {
        let mut running = self.running.lock().await;
        let id = match &*running {
            Some(id) => id.clone(),
            None => {
                let id = making::bring_up(self).await?;
                running.insert(id).clone()
            }
        };
        self.users.fetch_add(1, Ordering::Relaxed);
        Ok(Lease { container: Arc::clone(self), id })
    }

    /// Notes that the engine does not know it any more, or that it does not run.
    pub(super) async fn lost(&self, id: &str) {
        let mut running = self.running.lock().await;
        if running.as_deref() == Some(id) {
            *running = None;
        }
    }

    /// After the engine said that it misses something: whether that was the container itself,
    /// which is then brought up at its next use.
    pub(super) async fn is_lost(&self, id: &str) -> Result<bool, WorkplaceError> {
        let asked = self.engine.docker.inspect_container(id, None);
        let runs = match self.engine.ask(Stage::InspectContainer, asked).await {
            Ok(found) => found.state.and_then(|state| state.running).unwrap_or(false),
            Err(failed) if failed.is_missing() => false,
            Err(failed) => return Err(failed.into()),
        };
        if !runs {
            self.lost(id).await;
        }
        Ok(!runs)
    }

    /// Something to tell the agent with the next result.
    pub(super) fn tell(&self, news: String) {
        let mut all = self.news.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < MOST_NEWS {
            all.push(news);
        }
    }

    /// See [`evonic_backend::Backend::news`].
    pub(super) fn news(&self) -> Option<String> {
        let all = std::mem::take(&mut *self.news.lock().unwrap_or_else(PoisonError::into_inner));
        (!all.is_empty()).then(|| all.join("\n"))
    }

    /// Whether it was used since this was asked last, or is in use.
    pub(super) fn was_used(&self) -> bool {
        self.users.load(Ordering::Relaxed) > 0 || self.fresh.swap(false, Ordering::Relaxed)
    }

    /// Whether it knows more than the ledger: that it runs, or something to tell.
    pub(super) fn is_worth_keeping(&self) -> bool {
        let has_news = !self.news.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        has_news || self.running.try_lock().map_or(true, |running| running.is_some())
    }

    /// When it was used last.
    pub(super) fn used(&self) -> Instant {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anything holds it.
    pub(super) fn is_leased(&self) -> bool {
        self.users.load(Ordering::Relaxed) > 0
    }

    /// Stops it unless it is in use, here or inside. Returns whether it was stopped.
    ///
    /// # Errors
    /// [`Failed`].
    pub(super) async fn stop_if_idle(&self, id: &str) -> Result<bool, Failed> {
        // Whoever holds the lock is about to use it.
        let Ok(mut running) = self.running.try_lock() else { return Ok(false) };
        if self.is_leased() || !is_idle(&self.engine, id).await? {
            return Ok(false);
        }
        stop(&self.engine, id).await?;
        *running = None;
        Ok(true)
    }
}

/// A container in use.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) container: Arc<Container>,
    /// The engine's identifier.
    pub(super) id: String,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let now = Instant::now();
        *self.container.used.lock().unwrap_or_else(PoisonError::into_inner) = now;
        self.container.fresh.store(true, Ordering::Relaxed);
        self.container.users.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether nothing runs in a container, whoever started it: commands that nobody follows, streams
/// of another worker.
pub(super) async fn is_idle(engine: &Engine, id: &str) -> Result<bool, Failed> {
    let top = engine.ask(Stage::ListProcesses, engine.docker.top_processes(id, None)).await;
    match top {
        Ok(top) => Ok(top.processes.unwrap_or_default().len() <= IDLE_PROCESSES),
        // It stopped, or is gone.
        Err(failed) if failed.is_conflict() || failed.is_missing() => Ok(true),
        Err(failed) => Err(failed),
    }
}

/// Stops a container; one that does not run, or is gone, is no error.
pub(super) async fn stop(engine: &Engine, id: &str) -> Result<(), Failed> {
    use bollard::query_parameters::StopContainerOptionsBuilder;

    let options = StopContainerOptionsBuilder::default().t(1).build();
    match engine.ask(Stage::StopContainer, engine.docker.stop_container(id, Some(options))).await {
        Err(failed) if failed.is_missing() => Ok(()),
        done => done,
    }
}

/// Removes a container, running or not; one that is gone is no error.
pub(super) async fn remove(engine: &Engine, id: &str) -> Result<(), Failed> {
    use bollard::query_parameters::RemoveContainerOptionsBuilder;

    let options = RemoveContainerOptionsBuilder::default().force(true).build();
    match engine
        .ask(Stage::RemoveContainer, engine.docker.remove_container(id, Some(options)))
        .await
    {
        // 409: somebody else is removing it.
        Err(failed) if failed.is_missing() || failed.is_conflict() => Ok(()),
        done => done,
    }
}

/// Removes a volume; one that is gone is no error.
pub(super) async fn remove_volume(engine: &Engine, name: &str) -> Result<(), Failed> {
    use bollard::query_parameters::RemoveVolumeOptions;

    let asked = engine.docker.remove_volume(name, None::<RemoveVolumeOptions>);
    match engine.ask(Stage::RemoveVolume, asked).await {
        Err(failed) if failed.is_missing() => Ok(()),
        done => done,
    }
}

/// The error for a container that stopped again and again.
pub(super) fn unstable(engine: &Engine) -> WorkplaceError {
    let said = "the container stopped as soon as it was started".to_owned();
    fault::unreachable(&engine.address, Stage::StartContainer, said)
}
