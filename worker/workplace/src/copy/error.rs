//! Why a copy fails.

use evonic_backend::{Class, WorkplaceError};

/// Why a copy was given up. See [`CopyError::goes_on`] for what is unfinished.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A workplace refuses, or stays out of reach.
    #[error("{path}")]
    Backend {
        path: String,
        #[source]
        source: WorkplaceError,
    },
    /// The source changed while it was copied, twice.
    #[error("{path} changes while it is copied")]
    Changing { path: String },
    /// A folder, and the copy is not recursive.
    #[error("{path} is a folder; say that it is to be copied with everything below it")]
    Folder { path: String },
    /// Onto itself, or below itself.
    #[error("{path} cannot be copied onto or below itself")]
    Itself { path: String },
    /// A folder with more entries than are listed, or folders in one another without end.
    #[error("{path} has {problem}; copy it as an archive")]
    TooMuch {
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

impl CopyError {
    /// Whether the same copy, asked for again, goes on where it was: what is unfinished stays. Of
    /// a copy that would fail again nothing unfinished is left.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        match self {
            Self::Cancelled => true,
            Self::Backend { source, .. } => source.class() == Class::Transient,
            _ => false,
        }
    }
}
