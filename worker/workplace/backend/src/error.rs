//! What can go wrong in a workplace.

use evonic_domain::SettingsError;
use evonic_handles::Exhausted;
use evonic_store::StoreError;

/// Whether trying again may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It may: a broken connection, a host that is busy or starting, a spent budget.
    Transient,
    /// It will not: permission, authentication, host key, missing file, quota, bad input.
    Permanent,
}

/// An error of a workplace. Paths are as the caller wrote them.
#[derive(Debug, thiserror::Error)]
pub enum WorkplaceError {
    /// No permit came free.
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
    /// The workplace's own folder is missing, is none, or is reached over a symbolic link that
    /// was not there when the worker started.
    #[error("the workplace's folder {path} cannot be opened")]
    Root {
        /// The folder.
        path: String,
        /// The operating system's word.
        #[source]
        source: std::io::Error,
    },
    /// The threads that do a workplace's work cannot be started.
    #[error("threads of the workplace cannot be started")]
    Threads(#[source] std::io::Error),
    /// The path leads outside the root, by itself or over a symbolic link.
    #[error("{path} is outside the workplace")]
    Outside {
        /// The path.
        path: String,
    },
    /// The path begins with `~`, which only shells expand.
    #[error("{path}: ~ is not expanded; paths are relative to the workplace's folder")]
    Tilde {
        /// The path.
        path: String,
    },
    /// The path is of another kind than needed.
    #[error("{path} is {found}, {needed} is needed")]
    WrongType {
        /// The path.
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
        /// The path.
        path: String,
        /// The operating system's word.
        #[source]
        source: std::io::Error,
    },
    /// A command could not be started.
    #[error("{program} cannot be started")]
    Start {
        /// The program.
        program: String,
        /// The operating system's word.
        #[source]
        source: std::io::Error,
    },
    /// A command ended, and somebody else took its exit status.
    #[error("the exit status of {program} is lost")]
    Lost {
        /// The program.
        program: String,
        /// The operating system's word.
        #[source]
        source: std::io::Error,
    },
    /// A regular expression or glob is wrong.
    #[error("pattern is invalid: {message}")]
    Pattern {
        /// The fault.
        message: String,
    },
    /// The file is too large for what is asked.
    #[error("{path} has {size_bytes} bytes, at most {limit_bytes} can be edited")]
    TooLarge {
        /// The path.
        path: String,
        /// Its size.
        size_bytes: u64,
        /// The limit.
        limit_bytes: u64,
    },
    /// There is no such workplace.
    #[error("there is no workplace {workplace}")]
    NoSuchWorkplace {
        /// Its name or identifier.
        workplace: String,
    },
    /// What it is cannot be read now.
    #[error("workplace {workplace} cannot be looked up")]
    Unread {
        /// Its name or identifier.
        workplace: String,
        /// The database's word.
        #[source]
        source: StoreError,
    },
    /// A machine or engine cannot be reached now, or a connection to it broke.
    #[error("{host}: {operation} failed")]
    Unreachable {
        /// The host or engine.
        host: String,
        /// `connect`, `resolve`, `exchange keys`, `run`.
        operation: &'static str,
        /// What was said.
        #[source]
        source: Cause,
    },
    /// A host failed so often in a row that it is left alone for a while.
    #[error("{host} failed {failures} times in a row; it is left alone for {seconds} s more")]
    LeftAlone {
        /// The host.
        host: String,
        /// Failures in a row.
        failures: u32,
        /// Until it is tried again.
        seconds: u64,
    },
    /// A machine or engine refuses, and will refuse again.
    #[error("{host}: {operation} refused")]
    Refused {
        /// The host or engine.
        host: String,
        /// `host key`, `authenticate`, `image`, `socket`.
        operation: &'static str,
        /// What was said, and what to do.
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

/// What was said by somebody who speaks only text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Cause(pub String);

impl From<SettingsError> for WorkplaceError {
    fn from(fault: SettingsError) -> Self {
        let SettingsError { field, problem, .. } = fault;
        WorkplaceError::Settings { field, problem }
    }
}

impl WorkplaceError {
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
