//! Workplaces in containers (Docker, by bollard): one container for each session.

use std::time::Duration;

use tokio::sync::mpsc;

use super::{CheckStep, End, HostState, Parts, WorkplaceError};
use crate::domain::{DockerSettings, SessionId, WorkplaceId};

/// Every engine of this worker, and this instance's containers on them.
#[derive(Debug)]
pub struct Engines {
    parts: Parts,
}

/// The workplace of a session in its container. See [`super::Place`].
#[derive(Clone, Debug)]
pub(crate) struct Docker {}

impl Engines {
    /// Engines by these settings. Starts comparing them with the ledger.
    pub(crate) fn start(parts: &Parts) -> Self {
        Self { parts: parts.clone() }
    }

    /// The workplace of a session: its container is made or started when it is first used.
    ///
    /// # Errors
    /// [`WorkplaceError::Settings`].
    pub(crate) fn open(
        &self,
        workplace: &WorkplaceId,
        settings: &DockerSettings,
        session: &SessionId,
    ) -> Result<Docker, WorkplaceError> {
        let _ = (workplace, settings, session, &self.parts);
        todo!("the Docker room")
    }

    /// See [`super::Workplaces::check`].
    pub(crate) async fn check(&self, settings: &DockerSettings, steps: mpsc::Sender<CheckStep>) {
        let _ = (settings, steps);
        todo!("the Docker room")
    }

    /// Builds the default image from the Dockerfile that ships with the product, and hands on what
    /// the engine says.
    ///
    /// # Errors
    /// [`WorkplaceError`].
    pub async fn build_sandbox(
        &self,
        settings: &DockerSettings,
        said: mpsc::Sender<String>,
    ) -> Result<(), WorkplaceError> {
        let _ = (settings, said);
        todo!("the Docker room")
    }

    /// Every engine that was used.
    pub(crate) fn states(&self) -> Vec<HostState> {
        Vec::new()
    }

    /// A session is gone: so are its containers, soon.
    pub(crate) fn session_deleted(&self, session: &SessionId) {
        let _ = session;
    }

    /// Ends every connection; stops the containers when the service stops.
    pub(crate) async fn close(&self, end: End, patience: Duration) {
        let _ = (end, patience);
    }
}
