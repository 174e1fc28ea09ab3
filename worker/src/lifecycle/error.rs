//! Why a worker does not start.

use std::{io, path::PathBuf};

use evonic_agent::OwnershipError;
use evonic_handles::PageError;
use evonic_http::ServerError;
use evonic_process::folder::FolderError;
use evonic_shared::exit::ExitCode;
use evonic_store::StoreError;
use evonic_workplace::WorkplaceError;

use super::inherited::HandOverError;

/// Why a worker does not start.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    /// See [`HandOverError`].
    #[error(transparent)]
    HandOver(#[from] HandOverError),
    /// The operating system refuses what is needed.
    #[error("{what} cannot be had")]
    System {
        /// What: `a thread`, `the runtime`.
        what: &'static str,
        /// The OS error.
        #[source]
        source: io::Error,
    },
    /// See [`PageError`].
    #[error(transparent)]
    Page(#[from] PageError),
    /// See [`FolderError`].
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Nothing can be made in the state folder.
    #[error("the state folder {} cannot be written to by this user", path.display())]
    Unwritable {
        /// The folder.
        path: PathBuf,
        /// The OS error.
        #[source]
        source: io::Error,
    },
    /// The first key has no file.
    #[error("the first key cannot be written to {}", path.display())]
    FirstKey {
        /// The file.
        path: PathBuf,
        /// The OS error.
        #[source]
        source: io::Error,
    },
    /// See [`StoreError`].
    #[error(transparent)]
    Store(#[from] StoreError),
    /// See [`OwnershipError`].
    #[error(transparent)]
    Ownership(#[from] OwnershipError),
    /// See [`WorkplaceError`].
    #[error(transparent)]
    Workplace(#[from] WorkplaceError),
    /// See [`ServerError`].
    #[error(transparent)]
    Server(#[from] ServerError),
}

impl StartError {
    /// The exit code that tells the supervisor.
    pub(super) const fn exit_code(&self) -> ExitCode {
        match self {
            StartError::HandOver(_) => ExitCode::Usage,
            StartError::System { .. }
            | StartError::Page(_)
            | StartError::Server(ServerError::Listener(_)) => ExitCode::Os,
            StartError::Folder(_)
            | StartError::Unwritable { .. }
            | StartError::FirstKey { .. }
            | StartError::Store(_)
            | StartError::Ownership(_) => ExitCode::Io,
            StartError::Workplace(_)
            | StartError::Server(ServerError::Tls(_) | ServerError::ProxySecret { .. }) => {
                ExitCode::Config
            }
        }
    }

    pub(super) fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| StartError::System { what, source }
    }
}
