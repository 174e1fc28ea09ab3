//! What can go wrong with a command, and what to do about it.

use std::{error::Error, io, path::PathBuf, time::Duration};

use evonic_shared::{config::LoadError, exit::ExitCode, status::ErrorCode};

use super::terminal::Paint;
use evonic_net::sse::SseError;
use evonic_store::StoreError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConsoleError {
    /// There is no configuration to go by.
    #[error(transparent)]
    Config(#[from] LoadError),
    /// Nothing answers on a socket.
    #[error("evonic is not running: nothing answers on {place}")]
    NotRunning {
        /// The socket, or the address.
        place: String,
        /// The operating system's word.
        #[source]
        source: io::Error,
    },
    /// The certificate that was shown is not believed, or there is none.
    #[error("no secure connection to {place}")]
    NotTrusted {
        /// The address.
        place: String,
        /// What is wrong.
        #[source]
        source: io::Error,
    },
    /// The socket, or the request, is not for this user.
    #[error("you may not do this: {message}")]
    Forbidden {
        /// Who refused what.
        message: String,
    },
    /// The key is missing, is none, or may not do this.
    #[error("the key does not do: {message}")]
    KeyRefused {
        /// The worker's sentence.
        message: String,
    },
    /// The supervisor refused.
    #[error("the supervisor refused: {message}")]
    SupervisorRefused {
        /// Its code.
        code: ErrorCode,
        /// Its sentence.
        message: String,
    },
    /// The connection to the supervisor broke, or it did not answer in time.
    #[error("the supervisor does not answer on {}", socket.display())]
    SupervisorSilent {
        /// The socket.
        socket: PathBuf,
        /// The operating system's word.
        #[source]
        source: io::Error,
    },
    /// The worker refused.
    #[error("{title} ({status}){}", separated(detail))]
    Refused {
        /// HTTP status.
        status: u16,
        /// The problem's title.
        title: String,
        /// What is the matter this time; may be empty.
        detail: String,
        /// When to try again, where the worker tells.
        retry_after: Option<Duration>,
    },
    /// The connection to the worker broke.
    #[error("the connection to the worker broke")]
    Broken(#[source] Box<dyn Error + Send + Sync>),
    /// The worker did not answer in time.
    #[error("the worker did not answer within {} s", patience.as_secs())]
    Silent {
        /// How long was waited.
        patience: Duration,
    },
    /// What came is not what this version understands.
    #[error("{from} answered what this version does not understand")]
    Protocol {
        /// Who answered.
        from: &'static str,
        /// What is wrong with it.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The stream of events is refused.
    #[error("the stream of events cannot be read")]
    Events(#[from] SseError),
    /// A new worker was asked for and did not become ready.
    #[error("no new worker became ready within {} s{}", patience.as_secs(), separated(last_error))]
    NotReady {
        /// How long was waited.
        patience: Duration,
        /// Why the last start failed; may be empty.
        last_error: String,
    },
    /// The database cannot be copied.
    #[error("the database is not copied")]
    Backup(#[source] StoreError),
    /// The command line asks for what cannot be.
    #[error("{0}")]
    Usage(String),
    /// Input cannot be read.
    #[error("{what} cannot be read")]
    Input {
        /// What was to be read.
        what: String,
        /// The operating system's word.
        #[source]
        source: io::Error,
    },
    /// Output cannot be written.
    #[error("the output cannot be written")]
    Output(#[source] io::Error),
    /// The runtime cannot be started.
    #[error("the runtime cannot be started")]
    Runtime(#[source] io::Error),
}

fn separated(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

impl ConsoleError {
    /// How the program ends.
    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            ConsoleError::Config(_) => ExitCode::Config,
            ConsoleError::NotRunning { .. }
            | ConsoleError::NotTrusted { .. }
            | ConsoleError::SupervisorSilent { .. }
            | ConsoleError::Broken(_)
            | ConsoleError::Silent { .. }
            | ConsoleError::Refused { status: 503, .. }
            | ConsoleError::SupervisorRefused { code: ErrorCode::Unavailable, .. }
            | ConsoleError::NotReady { .. } => ExitCode::Unavailable,
            ConsoleError::Forbidden { .. }
            | ConsoleError::KeyRefused { .. }
            | ConsoleError::SupervisorRefused { code: ErrorCode::Forbidden, .. } => {
                ExitCode::NoPermission
            }
            ConsoleError::SupervisorRefused { code: ErrorCode::Invalid, .. } => ExitCode::Config,
            ConsoleError::SupervisorRefused { .. } | ConsoleError::Refused { .. } => {
                ExitCode::Failure
            }
            ConsoleError::Protocol { .. } | ConsoleError::Events(_) => ExitCode::Software,
            ConsoleError::Usage(_) => ExitCode::Usage,
            ConsoleError::Output(_) if self.is_closed_pipe() => ExitCode::Ok,
            ConsoleError::Input { .. } | ConsoleError::Output(_) | ConsoleError::Backup(_) => {
                ExitCode::Io
            }
            ConsoleError::Runtime(_) => ExitCode::Os,
        }
    }

    /// Whether the reader of the output went away, as `head` does: nothing is wrong.
    pub(super) fn is_closed_pipe(&self) -> bool {
        matches!(self, ConsoleError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Whether the same request may well be answered in a moment.
    pub(super) fn is_passing(&self) -> bool {
        matches!(
            self,
            ConsoleError::Broken(_)
                | ConsoleError::Silent { .. }
                | ConsoleError::Refused { status: 503, .. }
        )
    }

    /// When to try again at the earliest, where the worker tells.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            ConsoleError::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// The error with its causes and what to do, for a person.
    pub(super) fn report(&self, paint: Paint) -> String {
        let program = paint.red("evonic:");
        if let ConsoleError::Config(LoadError::Invalid(faults)) = self {
            return format!("{program} the configuration is refused\n{faults}");
        }
        let mut text = format!("{program} {self}");
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        if let Some(advice) = self.advice() {
            text.push_str(&format!("\n{} {advice}", paint.dim("hint:")));
        }
        text
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
            ConsoleError::NotTrusted { .. } => Some(
                "is its certificate for this name, and of an authority that this machine or --ca \
                 trusts?",
            ),
            ConsoleError::KeyRefused { .. } => Some(
                "give one with --key or $EVONIC_KEY; on the machine of the service, \
                 `evonic key add` makes one",
            ),
            ConsoleError::SupervisorSilent { .. }
            | ConsoleError::Broken(_)
            | ConsoleError::Silent { .. } => {
                Some("`evonic status` and `journalctl -u evonic` tell what it is doing")
            }
            ConsoleError::NotReady { .. } => Some("`evonic status` and `evonic history` tell more"),
            ConsoleError::Protocol { .. } => {
                Some("is this program of the same version as the running one? see `evonic status`")
            }
            _ => None,
        }
    }
}
