//! Every workplace of this worker: found by name, opened for a session, checked, closed.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use evonic_backend::{
    Backend, BackendDeps, CheckStep, End, HostState, Removal, Result, Verdict, WorkplaceError,
    check::{self, Steps},
};
use evonic_docker::Engines;
use evonic_domain::{LocalSettings, SessionId, Settings, Workplace};
use evonic_local::{Level, Local};
use evonic_shared::error_chain::ErrorChain;
use evonic_ssh::Hosts;
use evonic_store::{Reader, StoreError};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{orphans, probed_level::ProbedLevel};

/// Checks that run at once: one whose listener is gone ends after its step.
const CHECKS: usize = 8;

/// The longest that a check may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(120);

/// The longest that the removal of a session's folder may take.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(60);

/// Every workplace. Shared by cloning.
#[derive(Clone, Debug)]
pub struct Workplaces {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    deps: BackendDeps,
    local: Local,
    hosts: Hosts,
    engines: Engines,
    /// Checks, and removals of deleted sessions' folders.
    tasks: TaskTracker,
    /// Ends what need not be seen through.
    closing: CancellationToken,
    /// Places for checks.
    checks: Arc<Semaphore>,
    /// Folders are removed one at a time.
    remover: Semaphore,
    sandbox: ProbedLevel,
}

impl Workplaces {
    /// The workplaces of this configuration and database. Opens nothing; starts to reconcile engines
    /// with the table of containers, and to clear what killed workers left.
    ///
    /// # Errors
    /// [`WorkplaceError`] when the local folder cannot be made.
    pub fn start(deps: BackendDeps) -> Result<Self> {
        let config = &deps.config;
        let local = Local::new(config, deps.budget.clone())?;
        let hosts = Hosts::new(&deps);
        let engines = Engines::start(&deps);
        let (checks, remover) = (Arc::new(Semaphore::new(CHECKS)), Semaphore::new(1));
        let (tasks, closing) = (TaskTracker::new(), CancellationToken::new());
        let sandbox = ProbedLevel::default();
        let inner = Inner { deps, local, hosts, engines, tasks, closing, checks, remover, sandbox };
        let workplaces = Self { inner: Arc::new(inner) };
        let trying = workplaces.clone();
        workplaces.inner.tasks.spawn(async move {
            let Inner { deps, local, sandbox, .. } = trying.inner.as_ref();
            sandbox.probe(local, &deps.config).await;
        });
        let clearing = workplaces.clone();
        workplaces.inner.tasks.spawn(async move {
            let Inner { local, deps, closing, .. } = clearing.inner.as_ref();
            closing.run_until_cancelled(orphans::clear(local, &deps.store)).await
        });
        Ok(workplaces)
    }

    /// Opens a workplace, by name or identifier, for a session; without one, the workplace itself.
    /// Connects when it is first used. Its settings are read each time: a change holds from the
    /// next turn on, and a workplace that is open keeps the settings that it read.
    ///
    /// # Errors
    /// [`WorkplaceError`].
    pub async fn open(
        &self,
        workplace: &str,
        session: Option<&SessionId>,
    ) -> Result<Arc<dyn Backend>> {
        self.backend(&self.read(workplace).await?, session)
    }

    async fn read(&self, which: &str) -> Result<Workplace> {
        let wanted = which.to_owned();
        let read = move |reader: &Reader<'_>| {
            let workplace = reader.workplace(&wanted)?;
            let secrets = match &workplace.settings {
                Settings::Local(_) => Some(reader.secret_files()?),
                Settings::Ssh(_) | Settings::Docker(_) => None,
            };
            Ok((workplace, secrets))
        };
        let read = self.inner.deps.store.read(read).await.map(|(workplace, secrets)| {
            if let Some(secrets) = secrets {
                self.inner.local.hide(secrets);
            }
            workplace
        });
        read.map_err(|error| match error {
            StoreError::Exhausted(exhausted) => exhausted.into(),
            StoreError::NotFound { .. } => {
                WorkplaceError::NoSuchWorkplace { workplace: which.to_owned() }
            }
            source => WorkplaceError::Unread { workplace: which.to_owned(), source },
        })
    }

    fn backend(
        &self,
        workplace: &Workplace,
        session: Option<&SessionId>,
    ) -> Result<Arc<dyn Backend>> {
        match &workplace.settings {
            Settings::Local(settings) => Ok(Arc::new(self.inner.local.at(settings, session)?)),
            Settings::Ssh(settings) => Ok(Arc::new(self.inner.hosts.open(settings, session)?)),
            Settings::Docker(settings) => {
                let session = session.ok_or_else(|| {
                    let problem = format!(
                        "each container of workplace {} belongs to a session; name one",
                        workplace.name
                    );
                    WorkplaceError::settings("session", problem)
                })?;
                Ok(Arc::new(self.inner.engines.open(&workplace.id, settings, session)?))
            }
        }
    }

    /// Tries a workplace's every step. Ends when all are done, one failed, the listener is gone,
    /// or two minutes are over.
    ///
    /// Cancel safe: a step that is under way when the future is dropped is seen through, so that
    /// nothing of it is left behind.
    pub async fn check(&self, settings: &Settings, steps: mpsc::Sender<CheckStep>) {
        let began = Instant::now();
        let (workplaces, settings, reported) = (self.clone(), settings.clone(), steps.clone());
        let Ok(permit) = Arc::clone(&self.inner.checks).try_acquire_owned() else {
            let detail = format!("{CHECKS} checks run already");
            let advice = Some("try again when they are over".to_owned());
            return Steps::new(steps).report("check", Verdict::Failed, detail, advice, began).await;
        };
        let checks = async move {
            let _permit = permit;
            workplaces.check_kind(&settings, reported).await;
        };
        let checks = tokio::time::timeout(CHECK_TIMEOUT, checks);
        let (detail, advice) = match self.inner.tasks.spawn(checks).await {
            Ok(Ok(())) => return,
            Ok(Err(_)) => (
                format!("not done within {} s", CHECK_TIMEOUT.as_secs()),
                "see what the step after the last one waits for",
            ),
            Err(panicked) => {
                tracing::error!(error = &panicked as &dyn std::error::Error, "check failed");
                ("the check itself failed".to_owned(), "the service's log says why")
            }
        };
        let advice = Some(advice.to_owned());
        Steps::new(steps).report("check", Verdict::Failed, detail, advice, began).await;
    }

    async fn check_kind(&self, settings: &Settings, steps: mpsc::Sender<CheckStep>) {
        match settings {
            Settings::Local(local) => self.check_local(local, steps).await,
            Settings::Ssh(ssh) => self.inner.hosts.check(ssh, steps).await,
            Settings::Docker(docker) => self.inner.engines.check(docker, steps).await,
        }
    }

    async fn check_local(&self, settings: &LocalSettings, steps: mpsc::Sender<CheckStep>) {
        let steps = Steps::new(steps);
        let local = &self.inner.local;
        let opened = async { local.at(settings, None).map(|local| (local, "opened".to_owned())) };
        let advice = "give settings.root a folder that the service's user may use";
        let Some(local) = steps.step("folder", Some(advice), opened).await else { return };
        let looked = async {
            let (detail, advice) = evonic_local::proc::describe();
            Ok(((), check::Finding::new(detail, advice)))
        };
        if steps.step("proc", None, looked).await.is_none() {
            return;
        }
        let contained = async {
            let (level, detail) = local.containment().await?;
            let advice = (level != Level::Namespaces)
                .then_some("docs/workplaces.md says how to get namespaces");
            Ok(((), check::Finding::new(format!("{level}: {detail}"), advice)))
        };
        let advice = "set settings.sandbox and settings.network to what this machine can do";
        if steps.step("sandbox", Some(advice), contained).await.is_some() {
            check::files_and_commands(&local, &steps).await;
        }
    }

    /// What keeps commands of local workplaces inside.
    #[must_use]
    pub fn sandbox(&self) -> &ProbedLevel {
        &self.inner.sandbox
    }

    /// Every host and engine that was used.
    #[must_use]
    pub fn hosts(&self) -> Vec<HostState> {
        let mut states = self.inner.hosts.states();
        states.extend(self.inner.engines.states());
        states
    }

    /// The engines.
    #[must_use]
    pub fn engines(&self) -> &Engines {
        &self.inner.engines
    }

    /// Removes the containers of a deleted session, and its folders in these workplaces, in the
    /// background. A folder that cannot be removed is logged, and stays.
    pub fn session_deleted(&self, session: &SessionId, workplaces: &[Workplace]) {
        self.inner.engines.session_deleted(session);
        let with_folders = workplaces.iter().filter(|workplace| match &workplace.settings {
            Settings::Local(settings) => settings.session_folders,
            Settings::Ssh(settings) => settings.session_folders,
            Settings::Docker(_) => false,
        });
        for workplace in with_folders {
            let (workplaces, workplace) = (self.clone(), workplace.clone());
            let folder = format!("sessions/{session}");
            self.inner.tasks.spawn(async move {
                workplaces.remove_folder(&workplace, &folder).await;
            });
        }
    }

    async fn remove_folder(&self, workplace: &Workplace, folder: &str) {
        let Ok(_turn) = self.inner.remover.acquire().await else { return };
        let removed = async {
            match self.backend(workplace, None)?.remove(folder, Removal::All).await {
                // The session never worked there.
                Err(error) if error.is_missing() => Ok(()),
                removed => removed,
            }
        };
        let reason = match tokio::time::timeout(REMOVAL_TIMEOUT, removed).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => ErrorChain(&error).to_string(),
            Err(_) => format!("not done within {} s", REMOVAL_TIMEOUT.as_secs()),
        };
        tracing::warn!(workplace = %workplace.name, folder, reason, "session's folder stays");
    }

    /// Ends every connection within `timeout`. Commands keep running. Containers stay for a successor,
    /// and are stopped when the service stops.
    pub async fn close(&self, end: End, timeout: Duration) {
        self.inner.tasks.close();
        self.inner.closing.cancel();
        // Folders whose turn has not come stay.
        self.inner.remover.close();
        // So do those that are not removed by then.
        let _ = tokio::time::timeout(timeout / 2, self.inner.tasks.wait()).await;
        tokio::join!(
            self.inner.hosts.close(timeout),
            self.inner.engines.close(end, timeout),
            self.inner.local.idle(),
        );
    }
}
