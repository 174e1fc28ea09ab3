//! The end of commands that nobody waits for.

use std::time::Duration;

use evonic_tools::Toolbox;

/// How long a command's machine may take to say that it is killed. On this machine and over a
/// connection that stands it takes less than a second.
pub(super) const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// Kills a command, if its machine can be reached in time.
pub(super) async fn kill(toolbox: &Toolbox, command_id: &str) -> Result<u32, String> {
    let killed = tokio::time::timeout(KILL_TIMEOUT, toolbox.kill(command_id)).await;
    killed.unwrap_or_else(|_| Err("its machine did not answer in time".to_owned()))
}

/// Kills a command whose result will not be asked for.
pub(super) async fn kill_orphan(toolbox: &Toolbox, command_id: &str) {
    if let Err(error) = kill(toolbox, command_id).await {
        runs_on(command_id, &error);
    }
}

pub(super) fn runs_on(command_id: &str, error: &str) {
    let message = "a command without an owner may run on until its time limit";
    tracing::warn!(command_id, error, "{message}");
}
