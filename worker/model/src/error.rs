//! What can go wrong with a model.

use std::time::Duration;

use evonic_domain::{TurnErrorCode, WaitReason};
use evonic_handles::Exhausted;
use evonic_net::TlsError;
use http::{
    header::{InvalidHeaderName, InvalidHeaderValue},
    uri::InvalidUri,
};

/// Why a model did not reply. [`ModelError::code`] is the code of the turn's error.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A key cannot be read. Never contains the key.
    #[error("key of model {model} cannot be read from {origin}")]
    Key {
        model: String,
        /// Where it was looked for: `environment variable X`, a path.
        origin: String,
        /// The OS error, if it was a file.
        #[source]
        source: Option<std::io::Error>,
    },
    /// Its address is wrong, or no secure connection can be made.
    #[error("model {model} cannot be set up")]
    Setup {
        model: String,
        #[source]
        source: SetupError,
    },
    /// The model could not be set up when the worker started.
    #[error(transparent)]
    Unusable(std::sync::Arc<ModelError>),
    /// No connection permit came free.
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
    /// The endpoint refuses for good: a status other than 200, 408, 409, 425, 429 and 5xx; or a
    /// filter of its own stopped the reply (status 200).
    #[error("model {model} refused with status {status}: {message}")]
    Refused {
        model: String,
        status: u16,
        /// The endpoint's message, shortened.
        message: String,
    },
    /// The quota or the balance of the key is spent: waiting does not help.
    #[error("the quota of model {model} is spent: status {status}: {message}")]
    Spent {
        model: String,
        /// The endpoint's, or 402 where it has none.
        status: u16,
        message: String,
    },
    /// The endpoint could not be reached, or broke off, after every retry.
    #[error("model {model} is unavailable after {attempts} attempt{}: {message}", plural(*attempts))]
    Unavailable {
        model: String,
        attempts: u32,
        /// What went wrong last.
        message: String,
    },
    /// The endpoint answered what is not its protocol: `Chat Completions` or `Messages`.
    #[error("model {model} does not speak {protocol}: {message}")]
    Protocol { model: String, protocol: &'static str, message: String },
    /// The reply of one attempt was not whole in time.
    #[error("model {model} did not reply within {} s (models.{model}.call_timeout)", limit.as_secs_f32())]
    Timeout { model: String, limit: Duration },
    /// The reply is larger than it may be.
    #[error("model {model} replied with more than {limit} bytes (models.{model}.max_reply_bytes)")]
    ReplyTooLarge { model: String, limit: usize },
    /// The request is longer than the endpoint takes: shorter, it may do better.
    #[error("model {model} refuses the request as too long: {message}")]
    TooLong {
        model: String,
        /// What it may have, in tokens, where the endpoint says it.
        window: Option<u64>,
        /// What it had, in tokens, as the endpoint counted.
        tokens: Option<u64>,
        message: String,
    },
    /// The endpoint asks to come back later, or is out of reach for the time being.
    #[error("model {model} is to be asked again in {} s: {message}", after.as_secs_f32().ceil())]
    Later {
        model: String,
        reason: WaitReason,
        after: Duration,
        /// Faults of the endpoint in this call, for [`crate::Tried`].
        faults: u32,
        message: String,
    },
    /// The reply is not complete, also not after it was asked for again.
    #[error("model {model} did not complete its reply: {message}")]
    Incomplete { model: String, message: String },
    /// Attachments of the request cannot be read, or the endpoint refuses them: without them it may
    /// do better.
    #[error("model {model} cannot be shown an attachment: {message}")]
    Attachment {
        model: String,
        /// The hashes of those that may be at fault.
        hashes: Vec<String>,
        message: String,
    },
    /// The call was cancelled.
    #[error("the call was cancelled")]
    Cancelled,
}

/// Why an endpoint cannot be used as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Its address is wrong.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// No secure connection can be made.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// What is wrong with an address. Does not repeat it: it might hold a password.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// It is no address at all.
    #[error("base_url is no address")]
    Uri(#[from] InvalidUri),
    /// Its host, or a header, cannot be sent.
    #[error("base_url or headers hold what no header may have")]
    Host(#[from] InvalidHeaderValue),
    /// A header has a name that cannot be sent.
    #[error("headers name what no header may be named")]
    HeaderName(#[from] InvalidHeaderName),
    /// It does not begin with `http://` or `https://`.
    #[error("base_url does not begin with http:// or https://")]
    Scheme,
    /// It has a user in it.
    #[error("base_url has a user or password in it: use key_env, key_file or key_credential")]
    User,
    /// It has a query.
    #[error("base_url has a query")]
    Query,
}

const fn plural(count: u32) -> &'static str {
    if count == 1 { "" } else { "s" }
}

impl ModelError {
    /// The code of a turn that fails with it. A cancel without a request for it is a defect.
    #[must_use]
    pub const fn code(&self) -> TurnErrorCode {
        match self {
            ModelError::Key { .. } | ModelError::Setup { .. } | ModelError::Unusable(_) => {
                TurnErrorCode::ModelSetup
            }
            ModelError::Refused { .. } => TurnErrorCode::ModelRefused,
            ModelError::TooLong { .. } | ModelError::Spent { .. } => TurnErrorCode::ModelRefused,
            ModelError::Incomplete { .. } => TurnErrorCode::IncompleteReply,
            ModelError::Attachment { .. } => TurnErrorCode::AttachmentRefused,
            ModelError::Exhausted(_)
            | ModelError::Unavailable { .. }
            | ModelError::Later { .. } => TurnErrorCode::ModelUnavailable,
            ModelError::Protocol { .. } => TurnErrorCode::ModelProtocol,
            ModelError::Timeout { .. } => TurnErrorCode::ModelTimeout,
            ModelError::ReplyTooLarge { .. } => TurnErrorCode::ReplyTooLarge,
            ModelError::Cancelled => TurnErrorCode::Internal,
        }
    }
}
