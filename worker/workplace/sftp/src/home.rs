//! Where relative paths of a server begin.

use bytes::Bytes;

use super::{
    error::Error,
    requests::{PacketSink, Requests},
};

/// The home of the user on the server, as `SSH_FXP_REALPATH` of `.` reports it. Nothing else makes
/// one:
///
/// ```compile_fail,E0423
/// let home = evonic_sftp::RemoteHome("/home/me".into());
/// ```
/// ```compile_fail,E0277
/// let home: evonic_sftp::RemoteHome = "/home/me".into();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteHome(Bytes);

impl RemoteHome {
    /// Asks the server.
    pub(super) async fn realpath(requests: &Requests<impl PacketSink>) -> Result<Self, Error> {
        match requests.realpath(b".").await {
            Err(Error::UnexpectedReply) => Err(Error::NoHome),
            path => path.map(Self),
        }
    }

    /// The path, as the server wrote it: absolute, unless the server is wrong.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
