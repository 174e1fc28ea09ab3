//! One host of the way, completed.

use std::path::PathBuf;

use super::{HostSpec, LocalUser, Target};
use crate::{
    config_file::{HostConfig, Value},
    known_hosts,
};
use evonic_backend::{Result, WorkplaceError};
use evonic_domain::{HostKeys, SshAuth, SshSettings};

const DEFAULT_KEYS: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];

/// Faults of the settings themselves.
pub(super) fn check_settings(settings: &SshSettings) -> Result<()> {
    if !is_host(&settings.host) {
        return Err(WorkplaceError::settings(
            "settings.host",
            format!("{:?} is no host's name", settings.host),
        ));
    }
    if settings.port == Some(0) {
        return Err(WorkplaceError::settings("settings.port", "is 1 to 65535"));
    }
    let needs_password = [SshAuth::Password, SshAuth::KeyboardInteractive]
        .into_iter()
        .find(|way| settings.authenticate.contains(way));
    if needs_password.is_some() && settings.password.is_none() {
        let problem = "has a way that needs settings.password, which is not set";
        return Err(WorkplaceError::settings("settings.authenticate", problem));
    }
    let relative = settings.identity_files.iter().position(|path| !path.is_absolute());
    if let Some(number) = relative {
        let field = format!("settings.identity_files[{number}]");
        return Err(WorkplaceError::settings(&field, "is no whole path (~ is not expanded)"));
    }
    if settings.known_hosts.as_ref().is_some_and(|path| !path.is_absolute()) {
        return Err(WorkplaceError::settings(
            "settings.known_hosts",
            "is no whole path (~ is not expanded)",
        ));
    }
    Ok(())
}

/// Whether this may be a host's name or address. It also goes into commands that are advised, so
/// nothing that a shell would take for something else.
pub(super) fn is_host(text: &str) -> bool {
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    !text.is_empty() && !text.starts_with('-') && text.chars().all(allowed)
}

/// A host, from what was asked for, what the file says, and the defaults.
pub(super) fn target(
    spec: &HostSpec,
    settings: &SshSettings,
    config: &HostConfig,
    local: &LocalUser<'_>,
) -> Result<Target> {
    let host = match &config.host_name {
        None => spec.host.clone(),
        Some(said) => expand(said, &[('h', &spec.host)])?,
    };
    if !is_host(&host) {
        let location = config.host_name.as_ref().map_or("settings.host", |said| &said.location);
        return Err(WorkplaceError::settings(location, format!("{host:?} is no host's name")));
    }
    let user = spec.user.clone().or_else(|| config.user.as_ref().map(|said| said.value.clone()));
    let user = user.unwrap_or_else(|| local.user.clone());
    if user.is_empty() || user.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(WorkplaceError::settings(
            "settings.user",
            format!("{user:?} is no user's name"),
        ));
    }
    let port = spec.port.or(config.port).unwrap_or(22);
    let mut target = Target {
        name: match &config.host_key_alias {
            Some(alias) => alias.value.to_lowercase(),
            None => known_hosts::name_of(&host, port),
        },
        host,
        port,
        user,
        authenticate: ways(settings),
        identity_files: settings.identity_files.clone(),
        agent: local.agent.clone(),
        passphrase: settings.passphrase.clone(),
        password: settings.password.clone(),
        known_hosts: Vec::new(),
        host_keys: host_keys(settings.host_keys, config.strict.as_ref())?,
        connect_timeout: config.connect_timeout,
        jumps: Vec::new(),
    };
    if target.identity_files.is_empty() {
        target.identity_files = identity_files(spec, &target, config, local)?;
    }
    if let Some(said) = config.identity_agent.as_ref().filter(|said| said.value != "SSH_AUTH_SOCK")
    {
        let is_named = said.value != "none";
        target.agent = is_named.then(|| path(said, spec, &target, local)).transpose()?;
    }
    target.known_hosts = known_hosts_files(spec, &target, settings, config, local)?;
    Ok(target)
}

fn ways(settings: &SshSettings) -> Vec<SshAuth> {
    let mut ways = Vec::new();
    let given = settings.authenticate.iter().copied();
    let usual = [SshAuth::Agent, SshAuth::Key].into_iter().chain(
        settings.password.iter().flat_map(|_| [SshAuth::Password, SshAuth::KeyboardInteractive]),
    );
    let wanted: Vec<_> =
        if settings.authenticate.is_empty() { usual.collect() } else { given.collect() };
    for way in wanted {
        if !ways.contains(&way) {
            ways.push(way);
        }
    }
    ways
}

/// The settings, or what the file says where they are the default. Never less than either asks for
/// without a word: `no` is refused.
fn host_keys(settings: HostKeys, said: Option<&Value>) -> Result<HostKeys> {
    let Some(said) = said else { return Ok(settings) };
    match said.value.to_ascii_lowercase().as_str() {
        "yes" | "true" => Ok(HostKeys::Strict),
        "accept-new" => Ok(HostKeys::AcceptNew),
        "ask" => Ok(settings),
        "no" | "off" | "false" if settings == HostKeys::AcceptNew => Ok(settings),
        "no" | "off" | "false" => Err(said.invalid(
            "StrictHostKeyChecking no would trust anybody; use accept-new, here or in \
             settings.host_keys",
        )),
        other => Err(said.invalid(format!("{other} is no value of StrictHostKeyChecking"))),
    }
}

fn identity_files(
    spec: &HostSpec,
    target: &Target,
    config: &HostConfig,
    local: &LocalUser<'_>,
) -> Result<Vec<PathBuf>> {
    if config.identity_files.is_empty() {
        let folder = local.home.join(".ssh");
        let there = DEFAULT_KEYS.iter().map(|name| folder.join(name)).filter(|key| key.is_file());
        return Ok(there.collect());
    }
    let named = config.identity_files.iter().filter(|said| said.value != "none");
    named.map(|said| path(said, spec, target, local)).collect()
}

fn known_hosts_files(
    spec: &HostSpec,
    target: &Target,
    settings: &SshSettings,
    config: &HostConfig,
    local: &LocalUser<'_>,
) -> Result<Vec<PathBuf>> {
    match (&settings.known_hosts, &config.known_hosts) {
        (Some(file), _) => Ok(vec![file.clone()]),
        (None, Some(files)) => files
            .iter()
            .filter(|said| said.value != "none")
            .map(|said| path(said, spec, target, local))
            .collect(),
        (None, None) => Ok(vec![
            local.state_dir.join("known_hosts"),
            local.home.join(".ssh/known_hosts"),
            PathBuf::from("/etc/ssh/ssh_known_hosts"),
        ]),
    }
}

/// A path of the file: `~` is the service's own home, and so is what is relative below.
fn path(said: &Value, spec: &HostSpec, target: &Target, local: &LocalUser<'_>) -> Result<PathBuf> {
    let home = local.home.to_string_lossy();
    let port = target.port.to_string();
    let text = expand(
        said,
        &[
            ('d', &home),
            ('h', &target.host),
            ('n', &spec.host),
            ('p', &port),
            ('r', &target.user),
            ('u', &local.user),
            ('k', &target.name),
        ],
    )?;
    match text.strip_prefix('~') {
        Some("") => Ok(local.home.clone()),
        Some(rest) if rest.starts_with('/') => Ok(local.home.join(rest.trim_start_matches('/'))),
        Some(_) => Err(said.invalid(format!("{text}: only the own ~ is expanded"))),
        None => Ok(local.home.join(text)),
    }
}

/// Replaces `%` and a letter.
fn expand(said: &Value, values: &[(char, &str)]) -> Result<String> {
    let mut text = String::new();
    let mut chars = said.value.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        let letter = chars.next();
        match (letter, values.iter().find(|(name, _)| Some(*name) == letter)) {
            (Some('%'), _) => text.push('%'),
            (_, Some((_, value))) => text.push_str(value),
            _ => {
                let token: String = letter.iter().collect();
                return Err(said.invalid(format!("%{token} is not supported here")));
            }
        }
    }
    Ok(text)
}
