//! One session's container: provisioned, counted in use, stopped when idle.
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
    Arc,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};

use bollard::query_parameters::{
    RemoveContainerOptionsBuilder, RemoveVolumeOptions, StopContainerOptionsBuilder,
};
use parking_lot::Mutex;
use tokio::{sync::OnceCell, time::Instant};

use super::{
    answer::Top,
    engine::{Engine, encoded},
    error::Failed,
    spec::{IDLE_PROCESSES, Identity, User},
};
use evonic_backend::{Home, Result, Stage, WorkplaceError, spool::Forgotten};
use evonic_domain::DockerSettings;

/// Of kills that nobody counted yet.
pub(super) const UNCOUNTED: u64 = u64::MAX;

/// The most news that wait for the agent.
const MOST_NEWS: usize = 8;

/// One value in a worker for each session.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) identity: Identity,
    pub(super) engine: Arc<Engine>,
    settings: Mutex<DockerSettings>,
    /// The engine's identifier while it runs, as far as is known.
    running: tokio::sync::Mutex<Option<String>>,
    users: AtomicU32,
    used: Mutex<Instant>,
    /// Whether it was used since that was last written to the container table.
    fresh: AtomicBool,
    news: Mutex<Vec<String>>,
    /// Kills for want of memory that the agent knows of, or [`UNCOUNTED`].
    pub(super) memory_kills: AtomicU64,
    /// Whether old records of commands were removed since this worker first used it.
    pub(super) tidied: AtomicBool,
    /// Commands whose records may be removed.
    pub(super) forgotten: Arc<Forgotten>,
    /// The user's home, asked for once.
    pub(super) home: OnceCell<Home>,
}

impl Container {
    pub(super) fn new(identity: Identity, engine: Arc<Engine>, settings: DockerSettings) -> Self {
        Self {
            identity,
            engine,
            settings: Mutex::new(settings),
            running: tokio::sync::Mutex::default(),
            users: AtomicU32::new(0),
            used: Mutex::new(Instant::now()),
            fresh: false.into(),
            news: Mutex::default(),
            memory_kills: AtomicU64::new(UNCOUNTED),
            tidied: false.into(),
            forgotten: Arc::default(),
            home: OnceCell::new(),
        }
    }

    /// The settings hold from the next start on.
    pub(super) fn set_settings(&self, settings: DockerSettings) {
        *self.settings.lock() = settings;
    }

    pub(super) fn settings(&self) -> DockerSettings {
        self.settings.lock().clone()
    }

    /// The user that commands run as.
    ///
    /// # Errors
    /// [`WorkplaceError::Settings`].
    pub(super) fn user(&self) -> Result<User> {
        User::of(&self.settings())
    }

    /// The container, kept from being stopped until the lease is dropped. `bring_up` makes and
    /// starts it; it is polled when the container is not known to run.
    ///
    /// # Errors
    /// Those of `bring_up`.
    pub(super) async fn lease(
        self: &Arc<Self>,
        bring_up: impl Future<Output = Result<String>>,
    ) -> Result<Lease> {
        let mut running = self.running.lock().await;
        let id = match &*running {
            Some(id) => id.clone(),
            None => running.insert(bring_up.await?).clone(),
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

    /// Whether a 404 of the engine was about the container itself, which is then brought up at its
    /// next use.
    pub(super) async fn is_lost(&self, id: &str) -> Result<bool> {
        let found = self.engine.container(id).await?;
        let runs = found.is_some_and(|found| found.state.running);
        if !runs {
            self.lost(id).await;
        }
        Ok(!runs)
    }

    /// News for the agent, delivered with the next result.
    pub(super) fn add_news(&self, news: String) {
        let mut all = self.news.lock();
        if all.len() < MOST_NEWS {
            all.push(news);
        }
    }

    /// See [`evonic_backend::Backend::news`].
    pub(super) fn take_news(&self) -> Option<String> {
        let all = std::mem::take(&mut *self.news.lock());
        (!all.is_empty()).then(|| all.join("\n"))
    }

    /// Whether it was used since this was asked last, or is in use.
    pub(super) fn was_used(&self) -> bool {
        self.users.load(Ordering::Relaxed) > 0 || self.fresh.swap(false, Ordering::Relaxed)
    }

    /// Whether it knows more than the container table: that it runs, or news.
    pub(super) fn is_worth_keeping(&self) -> bool {
        let has_news = !self.news.lock().is_empty();
        has_news || self.running.try_lock().map_or(true, |running| running.is_some())
    }

    pub(super) fn used(&self) -> Instant {
        *self.used.lock()
    }

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

/// Keeps a container from being stopped.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) container: Arc<Container>,
    /// The engine's identifier.
    pub(super) id: String,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let now = Instant::now();
        *self.container.used.lock() = now;
        self.container.fresh.store(true, Ordering::Relaxed);
        self.container.users.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether nothing runs in a container, whoever started it: commands that are not followed, streams
/// of another worker.
async fn is_idle(engine: &Engine, id: &str) -> Result<bool, Failed> {
    let asked = engine.get(format!("/containers/{}/top", encoded(id)));
    let top: Result<Top, _> = engine.ask(Stage::ListProcesses, asked).await;
    match top {
        Ok(top) => Ok(top.processes.unwrap_or_default().len() <= IDLE_PROCESSES),
        // It stopped, or is gone.
        Err(failed) if failed.is_conflict() || failed.is_missing() => Ok(true),
        Err(failed) => Err(failed),
    }
}

/// As [`Container::stop_if_idle`], for a container that this worker may not know.
pub(super) async fn stop_if_idle(
    engine: &Engine,
    known: Option<Arc<Container>>,
    name: &str,
) -> Result<bool, Failed> {
    match known {
        Some(one) => one.stop_if_idle(name).await,
        None if is_idle(engine, name).await? => stop(engine, name).await.map(|()| true),
        None => Ok(false),
    }
}

/// Stops a container; one that does not run, or is gone, is no error.
pub(super) async fn stop(engine: &Engine, id: &str) -> Result<(), Failed> {
    let options = StopContainerOptionsBuilder::default().t(1).build();
    let asked = engine.docker.stop_container(id, Some(options));
    engine.find(Stage::StopContainer, asked).await.map(drop)
}

/// Removes a container, running or not, with the volumes without a name that its image asked for;
/// one that is gone is no error.
pub(super) async fn remove(engine: &Engine, id: &str) -> Result<(), Failed> {
    let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
    let asked = engine.docker.remove_container(id, Some(options));
    match engine.find(Stage::RemoveContainer, asked).await {
        // 409: it is being removed already.
        Err(failed) if failed.is_conflict() => Ok(()),
        done => done.map(drop),
    }
}

/// Removes a volume; one that is gone is no error.
pub(super) async fn remove_volume(engine: &Engine, name: &str) -> Result<(), Failed> {
    let asked = engine.docker.remove_volume(name, None::<RemoveVolumeOptions>);
    engine.find(Stage::RemoveVolume, asked).await.map(drop)
}

/// The error for a container that stopped again and again.
pub(super) fn unstable(engine: &Engine) -> WorkplaceError {
    engine.unreachable(Stage::StartContainer, "the container stopped as soon as it was started")
}
