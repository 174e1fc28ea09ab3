//! The runtime of commands that speak HTTP.

use super::error::{ConsoleError, Result};

/// Runs a command to its end on a runtime of its own.
pub(super) fn on_runtime<T>(command: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ConsoleError::Runtime)?;
    let result = runtime.block_on(command);
    // A read of the terminal cannot be interrupted: it is not waited for.
    runtime.shutdown_background();
    result
}
