//! Commands of this machine that no turn needs any more, and that are still there: a worker that was
//! killed had their results, or had ended their turns, and no time to clear what they left.

use std::{collections::HashSet, time::Duration};

use evonic_backend::{Backend, Result};
use evonic_local::Local;
use evonic_shared::error_chain::ErrorChain;
use evonic_store::Store;

/// How commands of turns are called.
const CALLS: &str = "call_";

/// From the list of records to the question which of them are needed. A worker beside this one makes a
/// record right before it commits its call.
const COMMIT: Duration = Duration::from_secs(5);

/// Kills and forgets them. Those of a worker that still runs are not touched.
pub(crate) async fn clear(local: &Local, store: &Store) {
    local.remove_probes().await;
    let mut records = local.records().await;
    records.retain(|command_id| command_id.starts_with(CALLS));
    if records.is_empty() {
        return;
    }
    tokio::time::sleep(COMMIT).await;
    let pending = match store.read(|reader| reader.pending_commands()).await {
        Ok(pending) => HashSet::<String>::from_iter(pending),
        // The next worker tries again.
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::info!(error, "what killed workers left is not cleared");
            return;
        }
    };
    for command_id in records.iter().filter(|command_id| !pending.contains(*command_id)) {
        if let Err(error) = end(local, command_id).await {
            let error = ErrorChain(&error).to_string();
            tracing::info!(command_id, error, "what a killed worker left is not cleared");
        }
    }
}

async fn end(local: &Local, command_id: &str) -> Result<()> {
    let killed = local.commands().kill(command_id).await?;
    local.commands().forget(command_id);
    tracing::debug!(command_id, killed, "cleared what a killed worker left");
    Ok(())
}
