//! Where to connect to, and as whom: settings, completed by OpenSSH's client configuration.

mod hop;
mod jumps;
mod resolve;
mod tokens;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::config_file::{AddressFamily, HostConfig};
use evonic_backend::Result;
use evonic_domain::{HostKeys, SecretSource, SshAuth, SshSettings};

/// A host to connect to, complete. Two equal targets may share connections.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Target {
    /// The name that its keys are known by: `host`, `[host]:port`, or `HostKeyAlias`.
    pub(super) name: String,
    /// The name or address that is resolved.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    /// In this order, none twice.
    pub(super) authenticate: Vec<SshAuth>,
    pub(super) identity_files: Vec<PathBuf>,
    /// Certificates of users, beside those that stand by their keys (`KEY-cert.pub`).
    pub(super) certificate_files: Vec<PathBuf>,
    /// Of an agent's keys only those of `identity_files` are tried.
    pub(super) identities_only: bool,
    /// `ProxyJump`, as the file has it.
    pub(super) jump_list: Option<String>,
    pub(super) address_family: AddressFamily,
    /// The agent's socket: `IdentityAgent`, else the service's `$SSH_AUTH_SOCK`.
    pub(super) agent: Option<PathBuf>,
    pub(super) passphrase: Option<SecretSource>,
    pub(super) password: Option<SecretSource>,
    /// Read in this order; the first is written by [`HostKeys::AcceptNew`].
    pub(super) known_hosts: Vec<PathBuf>,
    pub(super) host_keys: HostKeys,
    /// `ConnectTimeout`, when it says less than `ssh.connect_timeout`.
    pub(super) connect_timeout: Option<Duration>,
    /// The hosts to go over, the nearest first.
    pub(super) jumps: Vec<Target>,
}

/// The service's own user on this machine.
#[derive(Clone, Debug)]
struct LocalUser<'a> {
    /// Here, and only here, is the service's own home right: for its own files.
    home: PathBuf,
    user: String,
    agent: Option<PathBuf>,
    state_dir: &'a Path,
}

/// The host that is asked for, and as whom.
#[derive(Clone, Debug, Default)]
struct HostSpec {
    host: String,
    user: Option<String>,
    port: Option<u16>,
}

impl LocalUser<'_> {
    /// What the configuration file says about a host.
    fn config(&self, settings: &SshSettings, host: &str) -> Result<HostConfig> {
        match &settings.config_file {
            Some(file) if file.as_os_str() == "none" => Ok(HostConfig::default()),
            Some(file) => HostConfig::read(file, host, &self.home, true),
            None => HostConfig::read(&self.home.join(".ssh/config"), host, &self.home, false),
        }
    }
}

impl std::fmt::Display for Target {
    /// `user@host:port`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}:{}", self.user, self.host, self.port)
    }
}

#[cfg(test)]
impl Target {
    /// A host without anything that files say.
    pub(super) fn bare(host: &str, port: u16, user: &str) -> Self {
        Self {
            name: super::known_hosts::name_of(host, port),
            host: host.to_owned(),
            port,
            user: user.to_owned(),
            authenticate: vec![SshAuth::Key],
            identity_files: Vec::new(),
            certificate_files: Vec::new(),
            identities_only: false,
            jump_list: None,
            address_family: AddressFamily::Any,
            agent: None,
            passphrase: None,
            password: None,
            known_hosts: Vec::new(),
            host_keys: HostKeys::Strict,
            connect_timeout: None,
            jumps: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
