//! Workplaces on other machines, over SSH (libssh2).
//!
//! ```text
//! settings --target--> Target --connect--> Connection --link--> Link (a thread each)
//!                                                                 |
//!                                             Hosts: a few links a host, owned, counted
//!                                                                 |
//!                                                      Ssh: the Place of a session
//! ```

mod address;
mod authenticate;
mod breaker;
mod check;
mod config_file;
mod connect;
mod host_key;
mod jump;
mod known_hosts;
mod link;
mod pattern;
mod place;
mod secret;
mod target;

use std::time::Duration;

use tokio::sync::mpsc;

use self::target::Target;
use super::{CheckStep, HostState, Parts, WorkplaceError, check::Steps};
use crate::domain::{SessionId, SshSettings};

pub(crate) use place::Ssh;

/// Every connection of this worker to hosts.
#[derive(Debug)]
pub(crate) struct Hosts {
    parts: Parts,
}

impl Hosts {
    /// Connections by these settings. Opens none.
    pub(crate) fn new(parts: &Parts) -> Self {
        Self { parts: parts.clone() }
    }

    /// A workplace, for a session when given. Connects when it is first used.
    ///
    /// # Errors
    /// [`WorkplaceError::Settings`].
    pub(crate) fn open(
        &self,
        settings: &SshSettings,
        session: Option<&SessionId>,
    ) -> Result<Ssh, WorkplaceError> {
        let _ = (settings, session, &self.parts);
        todo!("the SSH files room")
    }

    /// See [`super::Workplaces::check`].
    pub(crate) async fn check(&self, settings: &SshSettings, steps: mpsc::Sender<CheckStep>) {
        let steps = Steps::new(steps);
        let advice = "correct the settings, or the file and line that is named";
        let resolved = async {
            Target::resolve(settings, &self.parts)
                .map(|target| (target.clone(), target.to_string()))
        };
        let Some(target) = steps.step("settings", Some(advice), resolved).await else { return };
        let Parts { config, budget, .. } = &self.parts;
        check::reach(&target, &config.ssh, budget, &steps).await;
    }

    /// Every host that was used.
    pub(crate) fn states(&self) -> Vec<HostState> {
        Vec::new()
    }

    /// Ends every connection.
    pub(crate) async fn close(&self, patience: Duration) {
        let _ = patience;
    }
}
