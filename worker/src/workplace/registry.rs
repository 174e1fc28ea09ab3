//! Every workplace of this worker: found by name, opened for a session, checked, closed.

use std::{sync::Arc, time::Duration};

use evonic_shared::config::Config;
use tokio::sync::mpsc;

/// Docker engines, for those who build images and compare ledgers.
pub use super::docker::Engines;
use super::{Local, Place, Protection, WorkplaceError, ssh};
use crate::{
    domain::{SessionId, Settings},
    handles::Budget,
    store::Store,
};

/// What workplaces are made of.
#[derive(Clone, Debug)]
pub struct Parts {
    /// `[workplace]`, `[tools]`, `[spool]`, `[ssh]`, `[docker]`, `state_dir`.
    pub config: Arc<Config>,
    /// The worker's budget.
    pub budget: Budget,
    /// The database: workplaces and containers.
    pub store: Store,
    /// What this installation is called in labels and spools.
    pub instance: String,
}

/// Every workplace. Shared by cloning.
#[derive(Clone, Debug)]
pub struct Workplaces {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    parts: Parts,
    local: Local,
    hosts: ssh::Hosts,
    engines: Engines,
}

/// How a worker ends, for what outlives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A successor goes on with what is there.
    Recycled,
    /// The service stops: what should not outlive it goes.
    Stopped,
}

/// A step of a check.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CheckStep {
    /// `resolve`, `connect`, `host key`, `authenticate`, `home`, `write`, `run`, `space`.
    pub step: String,
    /// How it went.
    pub verdict: Verdict,
    /// What was found: an address, a fingerprint, a path, a size.
    pub detail: String,
    /// What to do about it.
    pub advice: Option<String>,
    /// How long it took.
    pub elapsed_ms: u64,
}

/// How a step of a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Well.
    Ok,
    /// It works, but somebody should know.
    Warning,
    /// Not; the steps after it are not tried.
    Failed,
}

/// The state of a host or engine, for status and metrics.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct HostState {
    /// `user@host:port`, or the engine's address.
    pub host: String,
    /// Connections that are open.
    pub connections: u32,
    /// Failures in a row.
    pub failures: u32,
    /// While it is left alone: seconds until it is tried again.
    pub left_alone_seconds: Option<u64>,
    /// The last error, while there are failures.
    pub last_error: Option<String>,
}

impl Workplaces {
    /// The workplaces of this configuration and database. Opens nothing; starts the comparison of
    /// engines with the ledger.
    ///
    /// # Errors
    /// [`WorkplaceError`] when the local folder cannot be made.
    pub fn start(parts: Parts) -> Result<Self, WorkplaceError> {
        let config = &parts.config;
        let local = Local::new(&config.workplace, &config.tools, parts.budget.clone())?;
        let hosts = ssh::Hosts::new(&parts);
        let engines = Engines::start(&parts);
        Ok(Self { inner: Arc::new(Inner { local, hosts, engines, parts }) })
    }

    /// The configured folder of this machine.
    #[must_use]
    pub fn local(&self) -> &Local {
        &self.inner.local
    }

    /// Opens a workplace, by name or identifier, for a session; without one, the workplace itself.
    /// Connects when it is first used.
    ///
    /// # Errors
    /// [`WorkplaceError`].
    pub async fn open(
        &self,
        workplace: &str,
        session: Option<&SessionId>,
    ) -> Result<Arc<dyn Place>, WorkplaceError> {
        let _ = (session, &self.inner.parts);
        if workplace == "local" {
            return Ok(Arc::new(self.inner.local.clone()));
        }
        todo!("the registry room")
    }

    /// Tries a workplace's every step. Ends when all are done or one failed.
    pub async fn check(&self, settings: &Settings, steps: mpsc::Sender<CheckStep>) {
        let _ = (settings, steps);
        todo!("the registry room")
    }

    /// What protects this machine from commands.
    #[must_use]
    pub fn protections(&self) -> Vec<Protection> {
        todo!("the registry room")
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

    /// A session is gone: its containers and folders go too, soon.
    pub fn session_deleted(&self, session: &SessionId) {
        self.inner.engines.session_deleted(session);
    }

    /// Ends every connection within `patience`. Commands go on. Containers stay for a successor,
    /// and are stopped when the service stops.
    pub async fn close(&self, end: End, patience: Duration) {
        tokio::join!(
            self.inner.hosts.close(patience),
            self.inner.engines.close(end, patience),
            self.inner.local.idle(),
        );
    }
}
