//! Why a request of SFTP failed.

use std::io;

use crate::link::unreachable;
use evonic_backend::{Stage, WorkplaceError};

/// Why a request failed.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The server says no.
    Status { code: u32, message: String },
    /// There is no answer.
    Broken(String),
}

/// Status codes of the protocol; from 11 on those of later versions, which some servers send.
pub(super) mod status {
    pub(in super::super) const OK: u32 = 0;
    pub(in super::super) const EOF: u32 = 1;
    pub(in super::super) const NO_SUCH_FILE: u32 = 2;
    pub(in super::super) const PERMISSION_DENIED: u32 = 3;
    pub(in super::super) const FAILURE: u32 = 4;
    pub(in super::super) const UNSUPPORTED: u32 = 8;
    pub(in super::super) const NO_SUCH_PATH: u32 = 10;
    pub(in super::super) const EXISTS: u32 = 11;
    pub(in super::super) const WRITE_PROTECTED: u32 = 12;
    pub(in super::super) const NO_SPACE: u32 = 14;
    pub(in super::super) const QUOTA: u32 = 15;
}

impl Fault {
    /// As an error of an operation on a path.
    pub(crate) fn on(self, host: &str, stage: Stage, path: &str) -> WorkplaceError {
        match self {
            Self::Broken(said) => unreachable(host, stage, said),
            Self::Status { code, message } => WorkplaceError::Path {
                operation: stage.label(),
                path: path.to_owned(),
                source: error_of(code, message),
            },
        }
    }

    /// Whether there is nothing at the path.
    pub(crate) const fn is_missing(&self) -> bool {
        matches!(self, Self::Status { code: status::NO_SUCH_FILE | status::NO_SUCH_PATH, .. })
    }

    /// Whether the server does not say what is wrong.
    pub(crate) const fn is_vague(&self) -> bool {
        matches!(self, Self::Status { code: status::FAILURE, .. })
    }

    /// Whether the connection broke.
    pub(crate) const fn is_broken(&self) -> bool {
        matches!(self, Self::Broken(_))
    }

    /// What was said.
    pub(super) fn words(&self) -> &str {
        match self {
            Self::Status { message, .. } => message,
            Self::Broken(said) => said,
        }
    }
}

fn error_of(code: u32, message: String) -> io::Error {
    let kind = match code {
        status::NO_SUCH_FILE | status::NO_SUCH_PATH => io::ErrorKind::NotFound,
        status::PERMISSION_DENIED => io::ErrorKind::PermissionDenied,
        status::UNSUPPORTED => io::ErrorKind::Unsupported,
        status::EXISTS => io::ErrorKind::AlreadyExists,
        status::WRITE_PROTECTED => io::ErrorKind::ReadOnlyFilesystem,
        status::NO_SPACE => io::ErrorKind::StorageFull,
        status::QUOTA => io::ErrorKind::QuotaExceeded,
        _ => io::ErrorKind::Other,
    };
    match kind {
        io::ErrorKind::Other => io::Error::other(format!("the server says: {message}")),
        kind => io::Error::from(kind),
    }
}
