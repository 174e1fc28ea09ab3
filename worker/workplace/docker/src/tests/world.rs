//! An engine, and an instance on it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use evonic_parts::Engine;
use evonic_shared::{config::Config, kind::Kind};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{Docker, Engines};
use evonic_backend::{Backend, BackendDeps, CommandSpec, Finished, WorkplaceError};
use evonic_domain::{
    DockerSettings, NewAgent, NewSession, NewWorkplace, Origin, SessionId, Settings, WorkplaceId,
};
use evonic_handles::{Budget, Page, Usage};
use evonic_store::Store;

const DEADLINE: Duration = Duration::from_secs(60);

/// The engine of all tests that leave the engine itself alone.
pub(super) fn engine() -> Arc<Engine> {
    Engine::shared()
}

/// An instance with one Docker workplace.
pub(super) struct World {
    pub(super) engines: Engines,
    pub(super) store: Store,
    pub(super) budget: Budget,
    pub(super) parts: BackendDeps,
    pub(super) workplace: WorkplaceId,
    pub(super) settings: DockerSettings,
    /// Dropped last.
    _folder: TempDir,
}

impl World {
    pub(super) async fn new(engine: &Engine) -> Self {
        Self::with(engine, |_| ()).await
    }

    pub(super) async fn with(engine: &Engine, change: impl FnOnce(&mut Config)) -> Self {
        Self::at(engine.address(), change).await
    }

    /// With the engine at this address.
    pub(super) async fn at(address: String, change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::defaults(folder.path().to_owned(), folder.path().to_owned());
        config.docker.engine = address;
        change(&mut config);
        let budget = Budget::new(&config.budget, Page::private().unwrap(), 1_000_000);
        let path = folder.path().join("evonic.db");
        let store = Store::open(&path, &config.store, budget.clone()).unwrap();
        let instance = store.read(|reader| reader.instance()).await.unwrap();
        let config = Arc::new(config);
        let parts = BackendDeps { config, budget: budget.clone(), store: store.clone(), instance };
        let settings =
            DockerSettings { image: "evonic-test:latest".to_owned(), ..DockerSettings::default() };
        let new = NewWorkplace {
            name: "box".parse().unwrap(),
            settings: Settings::Docker(settings.clone()),
        };
        let workplace = store
            .change(Origin::inside(), |changer| changer.create_workplace(new))
            .await
            .unwrap()
            .id;
        let agent = NewAgent {
            name: "one".parse().unwrap(),
            model: "runbook".to_owned(),
            instructions: String::new(),
            tools: None,
            workplace: "local".to_owned(),
            other_workplaces: Vec::new(),
            retention: None,
        };
        store.change(Origin::inside(), |changer| changer.create_agent(agent)).await.unwrap();
        let engines = Engines::start(&parts);
        Self { engines, store, budget, parts, workplace, settings, _folder: folder }
    }

    pub(super) async fn session(&self) -> SessionId {
        let new = NewSession { agent: "one".to_owned(), title: String::new() };
        let made = self.store.change(Origin::inside(), |changer| changer.create_session(new));
        made.await.unwrap().id
    }

    pub(super) fn open(&self, session: &SessionId) -> Docker {
        self.engines.open(&self.workplace, &self.settings, session).unwrap()
    }

    pub(super) async fn place(&self) -> Docker {
        self.open(&self.session().await)
    }

    pub(super) fn used(&self) -> Usage {
        self.budget.usage()[Kind::Docker.slot()]
    }
}

/// Polls until this holds.
#[track_caller]
pub(super) fn until<'w, F>(
    what: &'w str,
    mut state: impl FnMut() -> F + 'w,
) -> impl Future<Output = ()> + 'w
where
    F: Future<Output = Result<(), String>> + 'w,
{
    let caller = std::panic::Location::caller();
    async move {
        let deadline = Instant::now() + DEADLINE;
        while let Err(last) = state().await {
            assert!(Instant::now() < deadline, "{what} ({caller}): {last}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

pub(super) fn spec(line: &str) -> CommandSpec {
    CommandSpec {
        argv: ["/bin/sh", "-c", line].map(str::to_owned).to_vec(),
        stdin: Bytes::new(),
        folder: String::new(),
        timeout: Duration::from_secs(60),
        command_id: format!("t-{}", uuid::Uuid::now_v7().simple()),
    }
}

/// Runs a command; returns how it ended and what it wrote.
pub(super) async fn run(
    place: &dyn Backend,
    spec: CommandSpec,
) -> Result<(Finished, String), WorkplaceError> {
    let (sender, mut output) = mpsc::channel::<Bytes>(16);
    let cancel = CancellationToken::new();
    let listen = async {
        let mut said = Vec::new();
        while let Some(piece) = output.recv().await {
            said.extend_from_slice(&piece);
        }
        String::from_utf8(said).unwrap()
    };
    let (finished, said) = tokio::join!(place.commands().run(spec, sender, &cancel), listen);
    Ok((finished?, said))
}

pub(super) async fn text(place: &dyn Backend, path: &str) -> Result<String, WorkplaceError> {
    let lines = place.read_lines(path, 1, None, 1 << 20).await?;
    Ok(String::from_utf8(lines.text).unwrap())
}
