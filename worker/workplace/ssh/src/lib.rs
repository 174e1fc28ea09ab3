//! Workplaces on other machines, over SSH (libssh2).
//!
//! ```text
//! settings --target--> Target --connect--> AuthenticatedSession --driver--> Connection
//!                                          (a thread each)                      |
//!                                     Hosts: a few connections a host, owned, counted
//!                                                                               |
//!                                                    Ssh: the Backend of a session
//! ```
//!
//! | Modules | Own |
//! |---|---|
//! | `target`, `config_file`, `pattern`, `secret` | where to connect, by settings and OpenSSH's files |
//! | `connect`, `address`, `host_key`, `known_hosts`, `authenticate`, `jump`, `session` | from a target to an authenticated session; blocking |
//! | `connection`, `channel`, `stream`, `driver` | a connection at work, its channels and its thread |
//! | `pool`, `breaker`, `retry`, `flight` | connections to one host, and when it is tried again |
//! | `sftp`, `files`, `folders`, `transfer` | files over SFTP |
//! | `shell`, `facts`, `shell_facts` | the login shell, and where the workplace is |
//! | `backend`, `check` | the workplace of a session; its check |
//!
//! # Invariants
//! - Only the driver's thread uses a libssh2 session once it is authenticated.
//! - A descriptor is opened under a permit of kind `ssh`, and closed before that is given back.
//! - A home is what the host reported, by SFTP or by its login shell.

mod address;
mod authenticate;
mod backend;
mod breaker;
mod channel;
mod check;
mod config_file;
mod connect;
mod connection;
mod deadline;
mod driver;
mod facts;
mod files;
mod flight;
mod folders;
#[doc(hidden)]
pub mod fuzzing;
mod host_key;
mod jump;
mod known_hosts;
mod pattern;
mod pool;
mod retry;
mod rewrite;
mod secret;
mod session;
mod sftp;
mod shell;
mod shell_facts;
mod stream;
mod target;
mod transfer;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{sync::mpsc, time::timeout};

use self::{
    pool::{Host, PoolState},
    shell::Remote,
    target::Target,
};
use evonic_backend::{BackendDeps, CheckStep, HostState, Result, check::Steps};
use evonic_domain::{SessionId, SshSettings};

pub use backend::Ssh;

/// Every connection of this worker to hosts.
#[derive(Debug)]
pub struct Hosts {
    parts: BackendDeps,
    pool: Arc<PoolState>,
}

impl Hosts {
    /// Connections by these settings. Opens none.
    pub fn new(parts: &BackendDeps) -> Self {
        let pool = PoolState::new(parts.config.ssh.clone(), parts.budget.clone());
        Self { parts: parts.clone(), pool: Arc::new(pool) }
    }

    /// A workplace, for a session when given. Connects when it is first used.
    ///
    /// # Errors
    /// [`evonic_backend::WorkplaceError::Settings`].
    pub fn open(&self, settings: &SshSettings, session: Option<&SessionId>) -> Result<Ssh> {
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
        let mut hosts = self.pool.hosts.lock();
        // What is unused, has no failures and nothing to tidy up is forgotten.
        hosts.retain(|host| {
            Arc::strong_count(host) > 1 || host.state().failures > 0 || !host.forgotten.is_empty()
        });
        if let Some(host) = hosts.iter().find(|host| host.target == target) {
            return Arc::clone(host);
        }
        let host = Arc::new(Host::new(target, &self.pool));
        hosts.push(Arc::clone(&host));
        host
    }

    fn hosts(&self) -> Vec<Arc<Host>> {
        self.pool.hosts.lock().clone()
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
        if !check::reach(&target, &self.pool, &steps).await {
            return;
        }
        let advice = "correct the settings, or the file and line that is named";
        let opened =
            async { self.open(settings, None).map(|workplace| (workplace, target.to_string())) };
        if let Some(workplace) = steps.step("folder", Some(advice), opened).await {
            evonic_backend::check::files_and_commands(&workplace, &steps).await;
        }
    }

    /// Every host that was used.
    pub fn states(&self) -> Vec<HostState> {
        self.hosts().iter().map(|host| host.state()).collect()
    }

    /// Ends every connection: by itself within half of `limit`, then by cutting it.
    pub async fn close(&self, limit: Duration) {
        self.pool.closed.store(true, Ordering::Release);
        self.pool.threads.close();
        let connections = self.hosts().into_iter().flat_map(|host| host.alive());
        connections.for_each(|connection| connection.end());
        if timeout(limit / 2, self.pool.threads.wait()).await.is_ok() {
            return;
        }
        self.cut();
        // What still connects ends with its own time limit.
        let _late = timeout(limit / 2, self.pool.threads.wait()).await;
    }

    fn cut(&self) {
        self.hosts().iter().for_each(|host| host.cut());
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        self.pool.closed.store(true, Ordering::Release);
        self.cut();
    }
}

#[cfg(test)]
mod tests;
