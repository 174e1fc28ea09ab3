//! From settings to a target.

use std::path::PathBuf;

use super::{HostSpec, LocalUser, Target, hop, jumps};
use evonic_backend::{BackendDeps, Result};
use evonic_domain::SshSettings;

impl Target {
    /// Completes settings: they come first, then the first matching values of the configuration
    /// file (`Host`, `HostName`, `User`, `Port`, `IdentityFile`, `ProxyJump`, `Include`, ...), then
    /// OpenSSH's defaults. Reads files. `StrictHostKeyChecking accept-new` counts like
    /// `settings.host_keys`.
    ///
    /// The password is for the target alone: jump hosts are asked by agent and key.
    ///
    /// # Errors
    /// [`evonic_backend::WorkplaceError::Settings`] that names the field, or the file and line.
    pub(crate) fn resolve(settings: &SshSettings, parts: &BackendDeps) -> Result<Self> {
        let own = nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten();
        let home = own.as_ref().map(|user| user.dir.clone());
        let local = LocalUser {
            home: home.or_else(std::env::home_dir).unwrap_or_else(|| PathBuf::from("/")),
            user: own.map_or_else(|| "root".to_owned(), |user| user.name),
            agent: std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from),
            state_dir: &parts.config.state_dir,
        };
        Self::complete(settings, &local)
    }

    pub(super) fn complete(settings: &SshSettings, local: &LocalUser<'_>) -> Result<Self> {
        let spec = HostSpec {
            host: settings.host.clone(),
            user: settings.user.clone(),
            port: settings.port,
        };
        hop::check_settings(settings)?;
        let config = local.config(settings, &spec.host)?;
        let mut target = hop::target(&spec, settings, &config, local)?;
        let list = match &settings.jump {
            Some(jump) => Some((jump.clone(), "settings.jump".to_owned())),
            None => match &config.proxy {
                Some(proxy) => Some(jumps::expanded(proxy, &spec, &target)?),
                None => None,
            },
        };
        if let Some((list, location)) = list {
            target.jumps = jumps::along(&list, &location, settings, local, 0)?;
        }
        Ok(target)
    }
}
