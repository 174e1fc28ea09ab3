//! Copies between workplaces: streamed in constant memory, gone on with after a cut, checked.
//!
//! ```text
//!   stat source -> open unfinished copy -> stream what it lacks -> hash both -> stat source -> rename
//!                         ^    |                                     |              |
//!                         |    | transient: wait, continue there     | differ       | changed
//!                         +----+                                     +-- start over, once
//! ```
//!
//! - What decides how much is there is the unfinished copy itself, `.NAME.ID.part` beside the
//!   target: the same copy, asked for again, continues it, also by another worker.
//! - A folder that is new is copied as `.NAME.ID.part` too, and gets its name when all is there: so
//!   the same copy, asked for again, still finds no folder of that name to copy below.
//! - A file that is at its target already, with the same size, mode and hash, is not sent again.
//! - A copy that is refused for good leaves nothing unfinished.

mod batch;
mod copying;
mod error;
mod file;
mod paths;
mod progress;
mod pump;
mod retry;
mod tree;

#[cfg(test)]
mod tests;

use evonic_shared::error_chain::ErrorChain;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::progress::ProgressSink;
pub use self::{copying::Copying, error::CopyError, progress::Progress};

impl Copying {
    /// Copies. Holds no more than a few MiB, whatever the size, and the names of one folder for
    /// each level. Modes of files are kept; links and what is neither a file nor a folder are
    /// skipped, which is reported.
    ///
    /// Without a listener of `progress` it continues; when the future is dropped it ends,
    /// and what is unfinished stays. Cancel safe in that sense.
    ///
    /// # Errors
    /// [`CopyError`].
    pub async fn run(
        self,
        progress: mpsc::Sender<Progress>,
        cancel: &CancellationToken,
    ) -> Result<(), CopyError> {
        let progress = ProgressSink::new(progress);
        match cancel.run_until_cancelled(tree::copy(&self, &progress)).await {
            None => Err(CopyError::Cancelled),
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => {
                let reason = ErrorChain(&error).to_string();
                let goes_on = error.goes_on();
                progress.send(Progress::Failed { reason, goes_on }).await;
                Err(error)
            }
        }
    }
}
