//! What can go wrong in a workplace.

use crate::handles::Exhausted;

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
}
