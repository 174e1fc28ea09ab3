//! Paths of another machine.
//!
//! The bug that this type rules out: a `~` or a relative path of a remote host that is completed
//! with the *local* home. A [`RemotePath`] comes from a [`Home`], and a [`Home`] only from what the
//! remote host itself reported, once per connection.

use super::WorkplaceError;

/// An absolute path on another machine. Its bytes are the other machine's; it is never a
/// [`std::path::PathBuf`], so that no function of this machine's file system takes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RemotePath(Vec<u8>);

/// The home of the user as whom a connection was made, as the remote host reported it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home(RemotePath);

impl Home {
    /// The home that a remote host reported. For the gates of connections only.
    ///
    /// # Errors
    /// [`WorkplaceError`] when it is no absolute path.
    pub(in crate::workplace) fn reported(path: &[u8]) -> Result<Self, WorkplaceError> {
        let _ = path;
        todo!("the SSH files room")
    }

    /// The home itself.
    #[must_use]
    pub const fn path(&self) -> &RemotePath {
        &self.0
    }

    /// Completes a path: an absolute one stays, `~` and `~/x` are below this home, a relative one
    /// is below `folder`. `~user` is the gate's to ask the host for.
    ///
    /// # Errors
    /// [`WorkplaceError`] for `~user`, a NUL, or an empty path.
    pub fn resolve(&self, folder: &RemotePath, path: &str) -> Result<RemotePath, WorkplaceError> {
        let _ = (folder, path);
        todo!("the SSH files room")
    }
}

impl RemotePath {
    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Display for RemotePath {
    /// Bytes that are no UTF-8 are replaced.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}
