//! Errors of workplaces.

use std::io;

use evonic_domain::SettingsError;
use evonic_handles::Exhausted;
use evonic_shared::error_chain::ErrorChain;
use evonic_store::StoreError;

use crate::Stage;

/// What an operation of a workplace returns.
pub type Result<T, E = WorkplaceError> = std::result::Result<T, E>;

/// Whether trying again may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A broken connection, a host that is busy or starting, a spent budget.
    Transient,
    /// Permission, authentication, host key, missing file, quota, bad input.
    Permanent,
}

/// The OS error in its own words, without its number.
#[must_use]
pub fn os_message(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// An error of a workplace. Paths are as the caller wrote them.
#[derive(Debug, thiserror::Error)]
pub enum WorkplaceError {
    /// No permit came free.
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
    /// The workplace's own folder is missing, is no folder, or is reached over a symbolic link
    /// that was not there when the worker started.
    #[error("the workplace's folder {path} cannot be opened")]
    Root {
        path: String,
        #[source]
        source: io::Error,
    },
    /// The threads that do a workplace's work cannot be started.
    #[error("threads of the workplace cannot be started")]
    Threads(#[source] io::Error),
    /// The path leads outside the root, by itself or over a symbolic link.
    #[error("{path} is outside the workplace")]
    Outside { path: String },
    /// The path begins with `~`, which only shells expand.
    #[error("{path}: ~ is not expanded; paths are relative to the workplace's folder")]
    Tilde { path: String },
    /// The path is of another kind than needed.
    #[error("{path} is {found}, {needed} is needed")]
    WrongType {
        path: String,
        /// `a folder`.
        found: &'static str,
        /// `a regular file`.
        needed: &'static str,
    },
    /// An operation on a path failed.
    #[error("{operation} {path} failed")]
    Path {
        /// `read`, `write`, `list`.
        operation: &'static str,
        path: String,
        #[source]
        source: io::Error,
    },
    /// A command could not be started.
    #[error("{program} cannot be started")]
    Start {
        program: String,
        #[source]
        source: io::Error,
    },
    /// A regular expression or glob is wrong.
    #[error("pattern is invalid: {message}")]
    Pattern { message: String },
    /// The file is too large for what is asked.
    #[error("{path} has {size_bytes} bytes, at most {limit_bytes} can be edited")]
    TooLarge { path: String, size_bytes: u64, limit_bytes: u64 },
    /// There is no such workplace.
    #[error("there is no workplace {workplace}")]
    NoSuchWorkplace { workplace: String },
    /// Its record cannot be read now.
    #[error("workplace {workplace} cannot be looked up")]
    Unread {
        workplace: String,
        #[source]
        source: StoreError,
    },
    /// A machine or engine cannot be reached now, or a connection to it broke.
    #[error("{host}: {stage} failed")]
    Unreachable {
        host: String,
        stage: Stage,
        #[source]
        source: Cause,
    },
    /// A host failed so often in a row that no connection is tried for a while.
    #[error("{host} failed {failures} times in a row; it is left alone for {seconds} s more")]
    LeftAlone {
        host: String,
        /// Failures in a row.
        failures: u32,
        seconds: u64,
    },
    /// A machine or engine refuses, and will refuse again.
    #[error("{host}: {stage} refused")]
    Refused {
        host: String,
        stage: Stage,
        /// What it said, and what to do.
        #[source]
        source: Cause,
    },
    /// Its settings cannot be used.
    #[error("{field}: {problem}")]
    Settings {
        /// The field: `settings.identity_files[0]`.
        field: String,
        /// What is wrong, and what to do.
        problem: String,
    },
}

/// A cause that is known only as text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Cause(pub String);

/// Bytes of a cause that are handed on: strangers say it.
const CAUSE_BYTES: usize = 4000;

impl Cause {
    fn new(mut said: String) -> Self {
        if said.len() > CAUSE_BYTES {
            let end = (0..=CAUSE_BYTES).rev().find(|&end| said.is_char_boundary(end));
            said.truncate(end.unwrap_or(0));
            said.push('…');
        }
        Self(said)
    }
}

impl From<SettingsError> for WorkplaceError {
    fn from(SettingsError { field, problem, .. }: SettingsError) -> Self {
        WorkplaceError::Settings { field, problem }
    }
}

impl WorkplaceError {
    /// A machine that cannot be reached now, or a connection to it that broke.
    pub fn unreachable(host: impl ToString, stage: Stage, cause: impl Into<String>) -> Self {
        Self::Unreachable { host: host.to_string(), stage, source: Cause::new(cause.into()) }
    }

    /// A machine that refuses, and will refuse again.
    pub fn refused(host: impl ToString, stage: Stage, cause: impl Into<String>) -> Self {
        Self::Refused { host: host.to_string(), stage, source: Cause::new(cause.into()) }
    }

    /// An operation on a path that failed.
    pub fn path(
        operation: &'static str,
        path: impl Into<String>,
        source: impl Into<io::Error>,
    ) -> Self {
        Self::Path { operation, path: path.into(), source: source.into() }
    }

    /// A file that is no longer as it was read.
    pub fn changed(path: impl Into<String>) -> Self {
        let problem = "somebody else changed it meanwhile; nothing was written";
        Self::path("write", path, io::Error::other(problem))
    }

    /// Settings that cannot be used: the field, and what is wrong with it.
    pub fn settings(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Settings { field: field.into(), problem: problem.into() }
    }

    /// The same error, for another who waited for the same.
    #[must_use]
    pub fn shared(&self) -> Self {
        let again = |error: &io::Error| match error.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(error.kind(), error.to_string()),
        };
        match self {
            Self::Exhausted(exhausted) => Self::Exhausted(exhausted.clone()),
            Self::LeftAlone { host, failures, seconds } => {
                Self::LeftAlone { host: host.clone(), failures: *failures, seconds: *seconds }
            }
            Self::Unreachable { host, stage, source } => {
                Self::Unreachable { host: host.clone(), stage: *stage, source: source.clone() }
            }
            Self::Refused { host, stage, source } => {
                Self::Refused { host: host.clone(), stage: *stage, source: source.clone() }
            }
            Self::Settings { field, problem } => {
                Self::Settings { field: field.clone(), problem: problem.clone() }
            }
            Self::Threads(source) => Self::Threads(again(source)),
            Self::Path { operation, path, source } => {
                Self::Path { operation, path: path.clone(), source: again(source) }
            }
            other => Self::Settings {
                field: "workplace".to_owned(),
                problem: ErrorChain(other).to_string(),
            },
        }
    }

    /// Whether nothing is at the path.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Path { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// Whether trying again may help.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            WorkplaceError::Exhausted(_)
            | WorkplaceError::Unread { .. }
            | WorkplaceError::Unreachable { .. }
            | WorkplaceError::LeftAlone { .. } => Class::Transient,
            _ => Class::Permanent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_strangers_say_is_cut_between_characters() {
        let error = WorkplaceError::refused("host", Stage::Script, "ü".repeat(CAUSE_BYTES) + "!");
        let WorkplaceError::Refused { source, .. } = error else { panic!("{error:?}") };
        assert_eq!(source.0, "ü".repeat(CAUSE_BYTES / 2) + "…");
        let error = WorkplaceError::unreachable("host", Stage::Script, "short");
        assert!(matches!(error, WorkplaceError::Unreachable { source, .. } if source.0 == "short"));
    }
}
