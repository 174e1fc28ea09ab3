//! Copies between workplaces: streamed in constant memory, gone on with after a cut, checked.
//!
//! ```text
//!   stat source -> open unfinished copy -> stream what it lacks -> hash both -> stat source -> rename
//!                         ^    |                                     |              |
//!                         |    | transient: wait, go on there        | differ       | changed
//!                         +----+                                     +-- start over, once
//! ```
//!
//! - What decides how much is there is the unfinished copy itself, `.NAME.ID.part` beside the
//!   target: whoever asks for the same copy again goes on with it, also another worker.
//! - A folder that is new is copied as `.NAME.ID.part` too, and gets its name when all is there: so
//!   the same copy, asked for again, still finds no folder of that name to copy below.
//! - A file that is at its target already, with the same size, mode and hash, is not sent again.

mod file;
mod paths;
mod pump;
mod retry;
mod tree;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use evonic_backend::{Backend, WorkplaceError};

/// A copy to make.
#[derive(Clone, Debug)]
pub struct Copying {
    /// Where from.
    pub from: Arc<dyn Backend>,
    /// What: a file, or a folder when `recursive`.
    pub from_path: String,
    /// Where to.
    pub to: Arc<dyn Backend>,
    /// Its new path; below it when it is a folder that is there.
    pub to_path: String,
    /// Whether a folder is copied, with everything below it.
    pub recursive: bool,
    /// Names the unfinished copies: the same copy again goes on with them.
    pub id: String,
}

/// How far a copy is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Progress {
    /// Everything there is to do is known.
    Planned {
        /// Files.
        files: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// A file goes on.
    Moved {
        /// Its path, as at its source.
        path: String,
        /// Bytes of all files that are at their target.
        bytes: u64,
    },
    /// A transient error; it is tried again.
    Paused {
        /// What was said.
        reason: String,
        /// Until then.
        retry_ms: u64,
    },
    /// A file is at its target, and its hash is that of its source.
    Checked {
        /// Its path.
        path: String,
        /// SHA-256 in 64 hexadecimal digits.
        sha256: String,
    },
    /// Neither a file nor a folder: it is not copied.
    Skipped {
        /// Its path, as at its source.
        path: String,
        /// What it is.
        reason: String,
    },
    /// Everything is at its target.
    Done {
        /// Files.
        files: u64,
        /// Their bytes.
        bytes: u64,
        /// Bytes that went over the wire, those sent twice included.
        sent: u64,
    },
    /// It was given up.
    Failed {
        /// Why.
        reason: String,
    },
}

/// Why a copy was given up. What is unfinished stays, to be gone on with.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A workplace refuses, or stays out of reach.
    #[error("{path}")]
    Backend {
        /// The file.
        path: String,
        /// See there.
        #[source]
        source: WorkplaceError,
    },
    /// The source changed while it was copied, twice.
    #[error("{path} changes while it is copied")]
    Changing {
        /// The file.
        path: String,
    },
    /// A folder without being told to.
    #[error("{path} is a folder; say that it is to be copied with everything below it")]
    Folder {
        /// The folder.
        path: String,
    },
    /// Onto itself, or below itself.
    #[error("{path} cannot be copied onto or below itself")]
    Itself {
        /// The target.
        path: String,
    },
    /// A folder with more entries than are listed, or folders in one another without end.
    #[error("{path} has {problem}; copy it as an archive")]
    TooMuch {
        /// The folder.
        path: String,
        /// What it has too much of.
        problem: String,
    },
    /// A name that cannot be written down.
    #[error("{path} has bytes in its name that are no UTF-8; rename it, or copy an archive of it")]
    Name {
        /// The path, those bytes replaced.
        path: String,
    },
    /// It was cancelled.
    #[error("it was cancelled")]
    Cancelled,
}

impl Copying {
    /// Copies. Holds no more than a few MiB, whatever the size, and the names of one folder for
    /// each level. Modes of files are kept; links and what is neither a file nor a folder are
    /// skipped, which is told.
    ///
    /// When nobody listens to `progress` any more, it goes on; when the future is dropped it ends,
    /// and what is unfinished stays. Cancel safe in that sense.
    ///
    /// # Errors
    /// [`CopyError`].
    pub async fn run(
        self,
        progress: mpsc::Sender<Progress>,
        cancel: &CancellationToken,
    ) -> Result<(), CopyError> {
        let told = retry::Told::new(progress);
        match cancel.run_until_cancelled(tree::copy(&self, &told)).await {
            None => Err(CopyError::Cancelled),
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => {
                told.tell(Progress::Failed { reason: causes(&error) }).await;
                Err(error)
            }
        }
    }
}

/// An error and its causes, joined by colons.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
