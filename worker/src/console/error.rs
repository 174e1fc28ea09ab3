//! Errors of commands, and what to do about them.

use std::{
    error::Error,
    fmt::Display,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use evonic_net::sse::SseError;
use evonic_shared::{
    config::LoadError, error_chain::ErrorChain, exit::ExitCode, status::ErrorCode,
};
use evonic_store::{RestoreError, StoreError};

use super::{
    configuration::faults_text,
    text::{Style, Text, text},
};

/// What commands return.
pub(crate) type Result<T = (), E = ConsoleError> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ConsoleError {
    #[error(transparent)]
    Config(#[from] LoadError),
    /// Nothing listens.
    #[error("evonic is not running: nothing answers on {address}")]
    NotRunning {
        /// The socket's path, or host and port.
        address: String,
        #[source]
        source: io::Error,
    },
    /// The TLS handshake failed.
    #[error("no secure connection to {address}")]
    NotTrusted {
        /// Host and port.
        address: String,
        #[source]
        source: io::Error,
    },
    /// This user may not use the socket, or make the request.
    #[error("you may not do this: {message}")]
    Forbidden { message: String },
    /// The service asks who is not root for a key, and its own cannot be shown.
    #[error("there is no key to show: {reason}")]
    KeyMissing {
        /// Why its own cannot be shown.
        reason: String,
    },
    /// The key is missing, unknown, or lacks the scope.
    #[error("the key does not do: {message}")]
    KeyRefused { message: String },
    /// The new worker of a restart did not become ready.
    #[error("no new worker serves: {message}")]
    NotReplaced { message: String },
    #[error("the supervisor refused: {message}")]
    SupervisorRefused { code: ErrorCode, message: String },
    /// The connection to the supervisor broke, or it did not answer in time.
    #[error("the supervisor does not answer on {}", socket.display())]
    SupervisorLost {
        socket: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{title} ({status}){}", separated(detail))]
    Refused {
        status: u16,
        title: String,
        /// The problem's detail; may be empty.
        detail: String,
        /// The `Retry-After` of the answer.
        retry_after: Option<Duration>,
    },
    #[error("the connection to the worker broke")]
    ConnectionLost(#[source] Box<dyn Error + Send + Sync>),
    #[error("the worker did not answer within {} s", limit.as_secs())]
    Timeout { limit: Duration },
    /// An answer of another version.
    #[error("{from} answered what this version does not understand")]
    Protocol {
        from: &'static str,
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    #[error("the stream of events cannot be read")]
    EventStream(#[from] SseError),
    #[error("no new worker became ready within {} s{}", limit.as_secs(), separated(last_error))]
    NotReady {
        limit: Duration,
        /// Why the last start failed; may be empty.
        last_error: String,
    },
    #[error("the database is not copied")]
    Backup(#[source] StoreError),
    #[error("the database is what it was")]
    Restore(#[source] Box<RestoreError>),
    /// Somebody has the database open.
    #[error("a service runs on {}: stop it first (`systemctl stop evonic`)", folder.display())]
    Runs {
        /// The state folder.
        folder: PathBuf,
    },
    #[error("{path} cannot be written")]
    Written {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("{0}")]
    Usage(String),
    #[error("{what} cannot be read")]
    Input {
        what: String,
        #[source]
        source: io::Error,
    },
    #[error("the output cannot be written")]
    Output(#[source] io::Error),
    /// The command has said what went wrong, and ends with this code.
    #[error("exit code {}", .0.code())]
    Reported(ExitCode),
    #[error("the runtime cannot be started")]
    Runtime(#[source] io::Error),
}

/// What went wrong, as every command says it: a line, and more where others wrote more.
pub(super) fn failure(reason: impl Display) -> Text {
    text![Style::Red.of("evonic:"), " ", Text::quoted(reason, 0)]
}

fn separated(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

impl ConsoleError {
    /// The error of a Unix socket that cannot be connected to.
    pub(super) fn unreachable(socket: &Path, source: io::Error) -> Self {
        let address = socket.display().to_string();
        match source.kind() {
            io::ErrorKind::PermissionDenied => {
                Self::Forbidden { message: format!("{address} is not for this user") }
            }
            _ => Self::NotRunning { address, source },
        }
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            ConsoleError::Config(_) => ExitCode::Config,
            ConsoleError::NotRunning { .. }
            | ConsoleError::NotTrusted { .. }
            | ConsoleError::SupervisorLost { .. }
            | ConsoleError::ConnectionLost(_)
            | ConsoleError::Timeout { .. }
            | ConsoleError::Refused { status: 503, .. }
            | ConsoleError::SupervisorRefused { code: ErrorCode::Unavailable, .. }
            | ConsoleError::NotReady { .. } => ExitCode::Unavailable,
            ConsoleError::Forbidden { .. }
            | ConsoleError::KeyMissing { .. }
            | ConsoleError::KeyRefused { .. }
            | ConsoleError::SupervisorRefused { code: ErrorCode::Forbidden, .. } => {
                ExitCode::NoPermission
            }
            ConsoleError::SupervisorRefused { code: ErrorCode::Invalid, .. } => ExitCode::Config,
            ConsoleError::SupervisorRefused { .. }
            | ConsoleError::NotReplaced { .. }
            | ConsoleError::Runs { .. }
            | ConsoleError::Refused { .. } => ExitCode::Failure,
            ConsoleError::Protocol { .. } | ConsoleError::EventStream(_) => ExitCode::Software,
            ConsoleError::Usage(_) => ExitCode::Usage,
            ConsoleError::Output(_) if self.is_closed_pipe() => ExitCode::Ok,
            ConsoleError::Input { .. }
            | ConsoleError::Output(_)
            | ConsoleError::Written { .. }
            | ConsoleError::Restore(_)
            | ConsoleError::Backup(_) => ExitCode::Io,
            ConsoleError::Runtime(_) => ExitCode::Os,
            ConsoleError::Reported(code) => *code,
        }
    }

    /// Whether there is nothing more to say about it.
    pub(super) fn is_silent(&self) -> bool {
        self.is_closed_pipe() || matches!(self, ConsoleError::Reported(_))
    }

    /// Whether the reader of the output is gone, as `head` is after its last line: no failure.
    fn is_closed_pipe(&self) -> bool {
        matches!(self, ConsoleError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Whether the same request may be answered when it is made again.
    pub(super) fn is_transient(&self) -> bool {
        matches!(
            self,
            ConsoleError::ConnectionLost(_)
                | ConsoleError::Timeout { .. }
                | ConsoleError::Refused { status: 503, .. }
        )
    }

    /// The pause that the worker asks for.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            ConsoleError::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// The error with its causes and what to do, for a person.
    pub(super) fn report(&self) -> Text {
        if let ConsoleError::Config(LoadError::Invalid(faults)) = self {
            let head = failure("the configuration is refused");
            return text![Text::of_line(head), faults_text(faults)];
        }
        let mut report = Text::of_line(failure(ErrorChain(self)));
        if let Some(advice) = self.advice() {
            report.line(text![Style::Dim.of("hint:"), " ", advice]);
        }
        report
    }

    fn advice(&self) -> Option<&'static str> {
        match self {
            ConsoleError::Config(LoadError::Read { .. }) => {
                Some("name another file with --config FILE")
            }
            ConsoleError::NotRunning { .. } => Some(
                "start it with `systemctl start evonic`, or `evonic-supervisor` in another \
                 terminal; `evonic config` tells which runtime_dir is looked in",
            ),
            ConsoleError::Forbidden { .. }
            | ConsoleError::SupervisorRefused { code: ErrorCode::Forbidden, .. } => {
                Some("run it as root or as the service's user")
            }
            ConsoleError::KeyMissing { .. } => Some(
                "run it as root or as the service's user, or give a key with --key or $EVONIC_KEY",
            ),
            ConsoleError::NotTrusted { .. } => Some(
                "is its certificate for this name, and of an authority that this machine or --ca \
                 trusts?",
            ),
            ConsoleError::KeyRefused { .. } => Some(
                "give one with --key or $EVONIC_KEY; on the machine of the service, \
                 `evonic key add` makes one",
            ),
            ConsoleError::SupervisorLost { .. }
            | ConsoleError::ConnectionLost(_)
            | ConsoleError::Timeout { .. } => {
                Some("`evonic status` and `journalctl -u evonic` tell what it is doing")
            }
            ConsoleError::NotReady { .. } | ConsoleError::NotReplaced { .. } => Some(
                "`evonic status` tells what serves now, `evonic history` and the log tell more",
            ),
            ConsoleError::Protocol { .. } => {
                Some("is this program of the same version as the running one? see `evonic status`")
            }
            _ => None,
        }
    }
}
