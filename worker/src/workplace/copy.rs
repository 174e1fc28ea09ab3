//! Copies between workplaces: streamed in constant memory, gone on with after a cut, checked.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Place, WorkplaceError};

/// A copy to make.
#[derive(Clone, Debug)]
pub struct Copying {
    /// Where from.
    pub from: Arc<dyn Place>,
    /// What: a file, or a folder when `recursive`.
    pub from_path: String,
    /// Where to.
    pub to: Arc<dyn Place>,
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
    Place {
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
    /// Copies. Holds no more than a few MiB, whatever the size.
    ///
    /// # Errors
    /// [`CopyError`].
    pub async fn run(
        self,
        progress: mpsc::Sender<Progress>,
        cancel: &CancellationToken,
    ) -> Result<(), CopyError> {
        let _ = (progress, cancel);
        todo!("the copies room")
    }
}
