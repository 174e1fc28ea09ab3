//! Where to connect to, and as whom: settings, completed by OpenSSH's client configuration.

use std::path::PathBuf;

use crate::{
    domain::{HostKeys, SecretSource, SshAuth, SshSettings},
    workplace::{Parts, WorkplaceError},
};

/// A host to connect to, complete. Two equal targets may share connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Target {
    /// The name that its keys are known by.
    pub(super) name: String,
    /// The name or address that is resolved.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    /// In this order, none twice.
    pub(super) authenticate: Vec<SshAuth>,
    pub(super) identity_files: Vec<PathBuf>,
    pub(super) passphrase: Option<SecretSource>,
    pub(super) password: Option<SecretSource>,
    /// Read in this order; the first is written by [`HostKeys::AcceptNew`].
    pub(super) known_hosts: Vec<PathBuf>,
    pub(super) host_keys: HostKeys,
    /// The hosts to go over, the nearest first.
    pub(super) jumps: Vec<Target>,
}

impl Target {
    /// Completes settings: they come first, then the first matching values of the configuration
    /// file (`Host`, `HostName`, `User`, `Port`, `IdentityFile`, `ProxyJump`, `Include`), then
    /// OpenSSH's defaults. Reads files.
    ///
    /// # Errors
    /// [`WorkplaceError::Settings`] that names the field, or the file and line.
    pub(super) fn resolve(settings: &SshSettings, parts: &Parts) -> Result<Self, WorkplaceError> {
        let _ = (settings, parts);
        todo!("the SSH connections room")
    }
}

impl std::fmt::Display for Target {
    /// `user@host:port`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}:{}", self.user, self.host, self.port)
    }
}
