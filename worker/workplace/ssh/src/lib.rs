//! Workplaces on other machines, over SSH (libssh2).
//!
//! ```text
//! settings --target--> Target --connect--> Connection --link--> Link (a thread each)
//!                                                                 |
//!                                             Hosts: a few links a host, owned, counted
//!                                                                 |
//!                                                      Ssh: the Backend of a session
//! ```

mod address;
mod authenticate;
mod backend;
mod breaker;
mod check;
mod config_file;
mod connect;
mod facts;
mod files;
mod folders;
#[doc(hidden)]
pub mod fuzzing;
mod host_key;
mod jump;
mod known_hosts;
mod link;
mod pattern;
mod pool;
mod secret;
mod sftp;
mod shell;
mod target;
mod transfer;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Mutex as Door, mpsc},
    time::timeout,
};
use tokio_util::task::TaskTracker;

use self::{
    pool::{Common, Host},
    shell::Remote,
    target::Target,
};
use evonic_backend::{BackendDeps, CheckStep, HostState, WorkplaceError, check::Steps};
use evonic_domain::{SessionId, SshSettings};

pub use backend::Ssh;

/// Every connection of this worker to hosts.
#[derive(Debug)]
pub struct Hosts {
    parts: BackendDeps,
    common: Arc<Common>,
}

impl Hosts {
    /// Connections by these settings. Opens none.
    pub fn new(parts: &BackendDeps) -> Self {
        let common = Common {
            settings: parts.config.ssh.clone(),
            budget: parts.budget.clone(),
            threads: TaskTracker::new(),
            closed: AtomicBool::new(false),
            all: Mutex::default(),
            permits: Door::default(),
            number: AtomicU64::new(0),
        };
        Self { parts: parts.clone(), common: Arc::new(common) }
    }

    /// A workplace, for a session when given. Connects when it is first used.
    ///
    /// # Errors
    /// [`WorkplaceError::Settings`].
    pub fn open(
        &self,
        settings: &SshSettings,
        session: Option<&SessionId>,
    ) -> Result<Ssh, WorkplaceError> {
        let target = Target::resolve(settings, &self.parts)?;
        let session = session.filter(|_| settings.session_folders).cloned();
        let folder = settings.folder.clone().filter(|folder| !folder.is_empty());
        let instance = self.parts.instance.clone();
        let remote = Remote::new(self.host(target), instance, folder, session);
        let config = &self.parts.config;
        Ok(Ssh::new(remote, config.spool.clone(), config.ssh.clone()))
    }

    /// Workplaces of one target share its connections.
    fn host(&self, target: Target) -> Arc<Host> {
        let mut all = self.common.all.lock().unwrap_or_else(PoisonError::into_inner);
        // What nobody uses, and has nothing to tell, is forgotten.
        all.retain(|host| Arc::strong_count(host) > 1 || host.state().failures > 0);
        if let Some(host) = all.iter().find(|host| host.target == target) {
            return Arc::clone(host);
        }
        let host = Arc::new(Host::new(target, &self.common));
        all.push(Arc::clone(&host));
        host
    }

    fn all(&self) -> Vec<Arc<Host>> {
        self.common.all.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// See `Workplaces::check`.
    pub async fn check(&self, settings: &SshSettings, steps: mpsc::Sender<CheckStep>) {
        let steps = Steps::new(steps);
        let advice = "correct the settings, or the file and line that is named";
        let resolved = async {
            Target::resolve(settings, &self.parts)
                .map(|target| (target.clone(), target.to_string()))
        };
        let Some(target) = steps.step("settings", Some(advice), resolved).await else { return };
        let BackendDeps { config, budget, .. } = &self.parts;
        if !check::reach(&target, &config.ssh, budget, &steps).await {
            return;
        }
        let advice = "correct the settings, or the file and line that is named";
        let opened = async { self.open(settings, None).map(|place| (place, target.to_string())) };
        if let Some(place) = steps.step("folder", Some(advice), opened).await {
            evonic_backend::check::files_and_commands(&place, &steps).await;
        }
    }

    /// Every host that was used.
    pub fn states(&self) -> Vec<HostState> {
        self.all().iter().map(|host| host.state()).collect()
    }

    /// Ends every connection: in half of `patience` by itself, then by cutting it.
    pub async fn close(&self, patience: Duration) {
        self.common.closed.store(true, Ordering::Release);
        self.common.threads.close();
        let links = || self.all().into_iter().flat_map(|host| host.alive());
        links().for_each(|link| link.end());
        if timeout(patience / 2, self.common.threads.wait()).await.is_ok() {
            return;
        }
        self.cut();
        // What still connects ends with its own time limit.
        let _late = timeout(patience / 2, self.common.threads.wait()).await;
    }

    fn cut(&self) {
        self.all().iter().for_each(|host| host.cut());
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        self.common.closed.store(true, Ordering::Release);
        self.cut();
    }
}

#[cfg(test)]
mod tests;
