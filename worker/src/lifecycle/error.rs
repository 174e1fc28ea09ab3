//! Why a worker does not start.

use std::{io, path::PathBuf};

use evonic_agent::OwnershipError;
use evonic_handles::PageError;
use evonic_http::ServerError;
use evonic_process::{cause, folder::FolderError};
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
    /// The threads of the runtime cannot be started.
    #[error("the threads of the runtime cannot be started")]
    Threads(#[source] io::Error),
    /// An invariant does not hold.
    #[error("a defect: {message}")]
    Defect {
        /// What the panic says.
        message: String,
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
    /// The exit code that tells the supervisor: by what the system says, else by the part that fails.
    pub(super) fn exit_code(&self) -> ExitCode {
        cause::exit_code(self).unwrap_or_else(|| self.of_part())
    }

    fn of_part(&self) -> ExitCode {
        match self {
            StartError::HandOver(_) => ExitCode::Usage,
            StartError::Threads(_)
            | StartError::Store(StoreError::Thread { .. })
            | StartError::Workplace(WorkplaceError::Threads(_)) => ExitCode::Resources,
            StartError::System { .. }
            | StartError::Page(_)
            | StartError::Server(ServerError::Listener(_)) => ExitCode::Os,
            StartError::Store(StoreError::Newer { .. }) => ExitCode::NewerDatabase,
            StartError::Store(StoreError::Full) => ExitCode::DiskFull,
            StartError::Store(StoreError::Open { source, .. } | StoreError::Sql { source, .. })
                if source.is_full() =>
            {
                ExitCode::DiskFull
            }
            StartError::Folder(FolderError::Foreign { .. }) => ExitCode::NoPermission,
            StartError::Folder(_)
            | StartError::Unwritable { .. }
            | StartError::FirstKey { .. }
            | StartError::Store(_)
            | StartError::Ownership(_) => ExitCode::Io,
            StartError::Server(ServerError::Tls(_) | ServerError::ProxySecret { .. }) => {
                ExitCode::Credential
            }
            StartError::Workplace(_) => ExitCode::Config,
            StartError::Defect { .. } => ExitCode::Software,
        }
    }

    pub(super) fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| StartError::System { what, source }
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    fn of_errno(errno: Errno) -> io::Error {
        io::Error::from_raw_os_error(errno.raw_os_error())
    }

    #[test]
    fn the_code_is_of_the_cause_and_not_of_the_part_that_met_it() {
        let folder = |errno| {
            StartError::Folder(FolderError::Open { path: "/x".into(), source: of_errno(errno) })
        };
        let key = |errno| StartError::FirstKey { path: "/x".into(), source: of_errno(errno) };
        let secret = |errno| {
            let source = of_errno(errno);
            StartError::Server(ServerError::ProxySecret { path: "/x".into(), source })
        };
        for (error, expected) in [
            (folder(Errno::ROFS), ExitCode::Io),
            (folder(Errno::NOSPC), ExitCode::DiskFull),
            (key(Errno::DQUOT), ExitCode::DiskFull),
            (key(Errno::ACCESS), ExitCode::Io),
            (secret(Errno::NOENT), ExitCode::Credential),
            (StartError::system("a thread")(of_errno(Errno::AGAIN)), ExitCode::Resources),
            (StartError::system("an eventfd")(of_errno(Errno::MFILE)), ExitCode::Resources),
            (StartError::system("the signal mask")(of_errno(Errno::INVAL)), ExitCode::Os),
            (StartError::Store(StoreError::Full), ExitCode::DiskFull),
        ] {
            assert_eq!(error.exit_code(), expected, "{error:?}");
        }
        let found = StoreError::Newer { path: "/x".into(), found: 9, known: 8 };
        assert_eq!(StartError::Store(found).exit_code(), ExitCode::NewerDatabase);
    }
}
