//! Where to connect to, and as whom: settings, completed by OpenSSH's client configuration.

mod hop;
mod jumps;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::config_file::HostConfig;
use evonic_backend::{BackendDeps, WorkplaceError};
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

/// What the service's machine says about its user.
#[derive(Clone, Debug)]
struct Surroundings<'a> {
    /// Here, and only here, is the service's own home right: for its own files.
    home: PathBuf,
    user: String,
    agent: Option<PathBuf>,
    state_dir: &'a Path,
}

/// Who is asked for.
#[derive(Clone, Debug, Default)]
struct Asked {
    host: String,
    user: Option<String>,
    port: Option<u16>,
}

impl Target {
    /// Completes settings: they come first, then the first matching values of the configuration
    /// file (`Host`, `HostName`, `User`, `Port`, `IdentityFile`, `ProxyJump`, `Include`, ...), then
    /// OpenSSH's defaults. Reads files. `StrictHostKeyChecking accept-new` counts like
    /// `settings.host_keys`.
    ///
    /// The password is for the target alone: jump hosts are asked by agent and key.
    ///
    /// # Errors
    /// [`WorkplaceError::Settings`] that names the field, or the file and line.
    pub(super) fn resolve(
        settings: &SshSettings,
        parts: &BackendDeps,
    ) -> Result<Self, WorkplaceError> {
        let own = nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten();
        let home = own.as_ref().map(|user| user.dir.clone());
        let around = Surroundings {
            home: home.or_else(std::env::home_dir).unwrap_or_else(|| PathBuf::from("/")),
            user: own.map_or_else(|| "root".to_owned(), |user| user.name),
            agent: std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from),
            state_dir: &parts.config.state_dir,
        };
        Self::complete(settings, &around)
    }

    fn complete(settings: &SshSettings, around: &Surroundings<'_>) -> Result<Self, WorkplaceError> {
        let asked =
            Asked { host: settings.host.clone(), user: settings.user.clone(), port: settings.port };
        hop::check_settings(settings)?;
        let config = around.config(settings, &asked.host)?;
        let mut target = hop::target(&asked, settings, &config, around)?;
        let list = match &settings.jump {
            Some(jump) => Some((jump.clone(), "settings.jump".to_owned())),
            None => config.proxy_jump.map(|said| (said.value, said.place)),
        };
        if let Some((list, place)) = list {
            target.jumps = jumps::along(&list, &place, settings, around, 0)?;
        }
        Ok(target)
    }
}

impl Surroundings<'_> {
    /// What the configuration file says about a host.
    fn config(&self, settings: &SshSettings, host: &str) -> Result<HostConfig, WorkplaceError> {
        match &settings.config_file {
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
mod tests;
