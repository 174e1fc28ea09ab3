//! Why a request failed.

use std::{io, time::Duration};

use rustix::io::Errno;

/// Why a request failed. Only [`Error::Status`] is the server's answer; after any other error the
/// channel is of no more use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The server refuses (`SSH_FXP_STATUS`).
    #[error("{}", message_of(*.code, .message))]
    Status {
        /// `SSH_FX_*`.
        code: u32,
        /// The server's text; may be empty.
        message: String,
    },
    /// The channel ended, for this reason.
    #[error("{0}")]
    Closed(String),
    /// No reply came in time.
    #[error("no answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// An `fsync@openssh.com` took too long.
    #[error("the file did not reach the disk in time")]
    SyncTimeout,
    /// The reply is not one to the request.
    #[error("the server answers something else than was asked")]
    UnexpectedReply,
    /// `SSH_FXP_DATA` without data.
    #[error("the server sends nothing")]
    NoData,
    /// A folder has more names than are taken, or its list has no end.
    #[error("the folder's list has no end")]
    Endless,
    /// The first packet is no `SSH_FXP_VERSION`.
    #[error("the server's SFTP is not understood")]
    NoVersion,
    /// The reply to `SSH_FXP_REALPATH` of `.` is not one name.
    #[error("it does not say where the home is")]
    NoHome,
}

/// Why the bytes of a server are not SFTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// A packet is longer than any that a server sends.
    #[error("the server sends an SFTP packet of {0} bytes")]
    TooLong(usize),
    /// A packet has a type or fields that version 3 does not know.
    #[error("the server's SFTP is not understood")]
    Malformed,
    /// A reply to no request.
    #[error("the server answers what was not asked")]
    Unasked,
    /// Too much text comes before the first packet.
    #[error("the login shell prints so much that SFTP does not begin")]
    NoFirstPacket,
    /// The first packet is the one that was sent.
    #[error("what answers is no SFTP server: it sends back what it gets")]
    Echo,
}

/// `SSH_FX_*`; from 11 on those of later versions, which some servers send.
pub(super) mod status {
    pub(in super::super) const OK: u32 = 0;
    pub(in super::super) const EOF: u32 = 1;
    pub(in super::super) const NO_SUCH_FILE: u32 = 2;
    pub(in super::super) const PERMISSION_DENIED: u32 = 3;
    pub(in super::super) const FAILURE: u32 = 4;
    pub(in super::super) const OP_UNSUPPORTED: u32 = 8;
    pub(in super::super) const NO_SUCH_PATH: u32 = 10;
    pub(in super::super) const FILE_ALREADY_EXISTS: u32 = 11;
    pub(in super::super) const WRITE_PROTECT: u32 = 12;
    pub(in super::super) const NO_SPACE_ON_FILESYSTEM: u32 = 14;
    pub(in super::super) const QUOTA_EXCEEDED: u32 = 15;
}

/// The server's words; of one that has none, the code's name in the protocol.
fn message_of(code: u32, message: &str) -> String {
    match (message.trim(), code) {
        ("", status::FAILURE) => "the server says only that it failed".to_owned(),
        ("", code) => format!("the server refuses it with code {code}"),
        (message, _) => format!("the server says: {message}"),
    }
}

impl Error {
    /// Whether nothing is at the path.
    #[must_use]
    pub const fn is_missing(&self) -> bool {
        matches!(self, Self::Status { code: status::NO_SUCH_FILE | status::NO_SUCH_PATH, .. })
    }

    /// Whether the user may not do it.
    #[must_use]
    pub const fn is_permission(&self) -> bool {
        matches!(self, Self::Status { code: status::PERMISSION_DENIED, .. })
    }

    /// Whether the server does not say what is wrong: `SSH_FX_FAILURE`.
    #[must_use]
    pub const fn is_unspecific(&self) -> bool {
        matches!(self, Self::Status { code: status::FAILURE, .. })
    }

    /// Whether the server says that it is not permitted.
    #[must_use]
    pub const fn is_denied(&self) -> bool {
        matches!(self, Self::Status { code: status::PERMISSION_DENIED | status::WRITE_PROTECT, .. })
    }

    /// Whether the server answered.
    #[must_use]
    pub const fn is_status(&self) -> bool {
        matches!(self, Self::Status { .. })
    }
}

impl From<Error> for io::Error {
    /// A status code that is an error of the system becomes that, in the words of the system;
    /// everything else keeps its text.
    fn from(error: Error) -> Self {
        let errno = match error {
            Error::Status { code, .. } => match code {
                status::NO_SUCH_FILE | status::NO_SUCH_PATH => Errno::NOENT,
                status::PERMISSION_DENIED => Errno::ACCESS,
                status::FILE_ALREADY_EXISTS => Errno::EXIST,
                status::WRITE_PROTECT => Errno::ROFS,
                status::NO_SPACE_ON_FILESYSTEM => Errno::NOSPC,
                status::QUOTA_EXCEEDED => Errno::DQUOT,
                status::OP_UNSUPPORTED => return Self::new(io::ErrorKind::Unsupported, error),
                _ => return Self::other(error),
            },
            _ => return Self::other(error),
        };
        errno.into()
    }
}
