//! Why one attempt failed, and whether another may do better.

use std::time::Duration;

use evonic_domain::WaitReason;
use evonic_handles::Exhausted;
use evonic_shared::error_chain::ErrorChain;

use super::connection::ConnectError;

/// Why one attempt failed. Messages may be long and may repeat what the endpoint sent: they are
/// shortened, and cleaned of the key, where they become a `ModelError`.
#[derive(Debug)]
pub(crate) enum Failure {
    /// No permit. Not tried again here: no attempt was made, and the caller may wait as long as it
    /// likes.
    Exhausted(Exhausted),
    /// Another attempt may do better, so often as `retries` says.
    Transient { message: String },
    /// The endpoint limits its rate, is overloaded or out of reach: waited for as long as
    /// `patience` says, not less than the given time.
    Busy { reason: WaitReason, message: String, after: Option<Duration> },
    /// No connection is made; as [`Failure::Busy`], unless another model may be asked.
    Unconnected { message: String },
    /// Nobody knows the name of its host, which may pass: as [`Failure::Unconnected`], but final for
    /// who asks whether the model works at all.
    UnknownHost { message: String },
    /// The endpoint cannot be reached in a way that will not change.
    Unreachable { message: String },
    /// The endpoint refuses for good.
    Refused { status: u16, message: String },
    /// The quota or the balance of the key is spent: no waiting helps.
    Spent { status: u16, message: String },
    /// Attachments cannot be read, or are refused: those of these hashes.
    Attachment { hashes: Vec<String>, message: String },
    /// The request is longer than it takes.
    TooLong { window: Option<u64>, tokens: Option<u64>, message: String },
    /// The reply is larger than it may be.
    TooLarge { limit: usize },
    /// The reply is not complete.
    Incomplete {
        message: String,
        /// Whether it may be complete another time.
        again: bool,
    },
    /// The whole attempt took too long.
    Slow { limit: Duration },
    /// What came is not what the endpoint's kind speaks.
    Protocol { message: String },
}

impl Failure {
    pub(crate) fn transient(message: impl Into<String>) -> Self {
        Self::Transient { message: message.into() }
    }

    pub(crate) fn incomplete(message: impl Into<String>) -> Self {
        Self::Incomplete { message: message.into(), again: true }
    }

    pub(crate) fn protocol(message: impl Into<String>) -> Self {
        Self::Protocol { message: message.into() }
    }

    pub(super) fn message(&self) -> &str {
        match self {
            Self::Transient { message }
            | Self::Busy { message, .. }
            | Self::Unconnected { message }
            | Self::UnknownHost { message }
            | Self::Unreachable { message }
            | Self::Refused { message, .. }
            | Self::Spent { message, .. }
            | Self::Attachment { message, .. }
            | Self::TooLong { message, .. }
            | Self::Incomplete { message, .. }
            | Self::Protocol { message } => message,
            Self::Exhausted(_) | Self::TooLarge { .. } | Self::Slow { .. } => "",
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Exhausted(exhausted) => Self::Exhausted(exhausted),
            ConnectError::Net(error) if error.is_permanent() => {
                Self::Unreachable { message: ErrorChain(&error).to_string() }
            }
            ConnectError::Net(evonic_net::ConnectError::Resolve(error)) if error.is_permanent() => {
                Self::UnknownHost { message: ErrorChain(&error).to_string() }
            }
            error => Self::Unconnected { message: ErrorChain(&error).to_string() },
        }
    }
}
