//! What keeps commands of local workplaces inside, as it was tried at the start.

use std::{
    error::Error,
    path::Path,
    sync::{Arc, OnceLock},
};

use evonic_local::{Level, Local};
use evonic_shared::config::{Config, Sandbox};

/// The level of local workplaces without settings of their own. Shared by cloning.
#[derive(Clone, Debug, Default)]
pub struct ProbedLevel(Arc<OnceLock<Option<Level>>>);

impl ProbedLevel {
    /// Nothing until it was tried, and where commands are refused.
    #[must_use]
    pub fn get(&self) -> Option<Level> {
        self.0.get().copied().flatten()
    }

    /// Tries it, and warns when it is not the best that there is, or less than at the last start.
    pub(crate) async fn probe(&self, local: &Local, config: &Config) {
        if let (reason, Some(advice)) = evonic_local::proc::describe() {
            tracing::warn!(reason, advice, "a part of /proc is hidden from the service");
        }
        let level = match local.containment().await {
            Ok((level, detail)) => {
                // Less than namespaces is what a person wished for, or what is left.
                if level == Level::Namespaces || config.workplace.sandbox != Sandbox::Auto {
                    tracing::info!(sandbox = %level, detail, "commands of local workplaces are contained");
                } else {
                    tracing::warn!(sandbox = %level, detail, "commands of local workplaces have no namespaces");
                }
                Some(level)
            }
            Err(error) => {
                let error: &dyn Error = &error;
                tracing::warn!(error, "commands of local workplaces are refused");
                None
            }
        };
        let _first = self.0.set(level);
        if let Some(level) = level {
            compare(level, &config.state_dir.join("sandbox-level")).await;
        }
    }
}

/// Warns of a level below that of the last start, which this file keeps.
async fn compare(level: Level, file: &Path) {
    let before = tokio::fs::read_to_string(file).await.unwrap_or_default();
    let before = Level::ALL.into_iter().find(|known| known.name() == before.trim());
    if let Some(before) = before.filter(|before| level < *before) {
        tracing::warn!(sandbox = %level, %before, "commands are contained less than at the last start");
    }
    if before != Some(level)
        && let Err(error) = tokio::fs::write(file, format!("{level}\n")).await
    {
        tracing::warn!(%error, "the sandbox's level cannot be kept");
    }
}
