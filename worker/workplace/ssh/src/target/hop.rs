//! One host of the way, completed.

use std::{net::Ipv6Addr, path::PathBuf};

use super::{
    HostSpec, LocalUser, Target,
    tokens::{expand, path, variable},
};
use crate::{
    authenticate::method_of,
    config_file::{HostConfig, Proxy, Value},
    known_hosts,
};
use evonic_backend::{Result, WorkplaceError};
use evonic_domain::{HostKeys, SshAuth, SshSettings};

const DEFAULT_KEYS: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];

/// Faults of the settings themselves.
pub(super) fn check_settings(settings: &SshSettings) -> Result<()> {
    if !is_host(&without_brackets(&settings.host)) {
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

/// An address as it is written everywhere else: `::1` for `[::1]` and `0:0:0:0:0:0:0:1`. A name is
/// in small letters, as OpenSSH has it.
fn without_brackets(host: &str) -> String {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let (address, zone) = match bare.split_once('%') {
        Some((address, zone)) => (address, format!("%{zone}")),
        None => (bare, String::new()),
    };
    match address.parse::<Ipv6Addr>() {
        Ok(address) => format!("{address}{zone}"),
        Err(_) => host.to_lowercase(),
    }
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
    let host = without_brackets(&host);
    if !is_host(&host) {
        let location = config.host_name.as_ref().map_or("settings.host", |said| &said.location);
        return Err(WorkplaceError::settings(location, format!("{host:?} is no host's name")));
    }
    let user = match (&spec.user, &config.user) {
        (Some(user), _) => user.clone(),
        (None, Some(said)) if said.value.contains('%') => {
            return Err(said.invalid("% is not expanded in User; write settings.user"));
        }
        (None, Some(said)) => said.value.clone(),
        (None, None) => local.user.clone(),
    };
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
        authenticate: ways(settings, config)?,
        identity_files: settings.identity_files.clone(),
        certificate_files: Vec::new(),
        identities_only: config.identities_only.unwrap_or(false),
        jump_list: config.proxy.as_ref().and_then(|proxy| match proxy {
            Proxy::Jump(jumps) if jumps.value != "none" => Some(jumps.value.clone()),
            _ => None,
        }),
        address_family: config.address_family.unwrap_or_default(),
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
    let named = config.certificate_files.iter().filter(|said| said.value != "none");
    target.certificate_files =
        named.map(|said| path(said, spec, &target, local)).collect::<Result<_>>()?;
    if let Some(said) = config.identity_agent.as_ref().filter(|said| said.value != "SSH_AUTH_SOCK")
    {
        // `$NAME`, and nothing else in it, is the path that a variable has.
        let name = said.value.strip_prefix('$').filter(|name| !name.starts_with('{'));
        target.agent = match (said.value.as_str(), name) {
            ("none", _) => None,
            (_, Some(name)) => Some(PathBuf::from(variable(said, name)?)),
            _ => Some(path(said, spec, &target, local)?),
        };
    }
    target.known_hosts = known_hosts_files(spec, &target, settings, config, local)?;
    Ok(target)
}

/// The ways of the settings; else the usual ones that the file allows, in its order. Keys that are
/// named come before those of an agent, which may have more than a server lets anybody try.
fn ways(settings: &SshSettings, config: &HostConfig) -> Result<Vec<SshAuth>> {
    if !settings.authenticate.is_empty() {
        let mut ways = Vec::new();
        for &way in &settings.authenticate {
            if !ways.contains(&way) {
                ways.push(way);
            }
        }
        return Ok(ways);
    }
    let is_named = !settings.identity_files.is_empty() || !config.identity_files.is_empty();
    let keys = match is_named {
        true => [SshAuth::Key, SshAuth::Agent],
        false => [SshAuth::Agent, SshAuth::Key],
    };
    let passwords = [SshAuth::Password, SshAuth::KeyboardInteractive];
    let passwords = passwords.into_iter().filter(|_| settings.password.is_some());
    let mut ways: Vec<_> = keys.into_iter().chain(passwords).collect();
    ways.retain(|way| match way {
        SshAuth::Agent | SshAuth::Key => config.pubkey != Some(false),
        SshAuth::Password => config.password != Some(false),
        SshAuth::KeyboardInteractive => config.interactive != Some(false),
    });
    if let Some(said) = &config.preferred {
        let methods: Vec<_> = said.value.split(',').map(str::trim).collect();
        let place = |way: &SshAuth| methods.iter().position(|&method| method == method_of(*way));
        ways.retain(|way| place(way).is_some());
        ways.sort_by_key(place);
        if ways.is_empty() {
            let problem = "PreferredAuthentications leaves no way that evonic has, or none that \
                           the settings have a password for; set settings.authenticate";
            return Err(said.invalid(problem));
        }
    }
    if ways.is_empty() {
        let problem = "the SSH configuration forbids every way to authenticate; set \
                       settings.authenticate";
        return Err(WorkplaceError::settings("settings.config_file", problem));
    }
    Ok(ways)
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
    if let Some(file) = &settings.known_hosts {
        return Ok(vec![file.clone()]);
    }
    let named = |files: &[Value]| -> Result<Vec<_>> {
        let files = files.iter().filter(|said| said.value != "none");
        files.map(|said| path(said, spec, target, local)).collect()
    };
    let mut files = match &config.known_hosts {
        Some(files) => named(files)?,
        None => {
            vec![local.state_dir.join("known_hosts"), local.home.join(".ssh/known_hosts")]
        }
    };
    // The first is the one that new keys are taken down in.
    if files.is_empty() {
        files.push(local.state_dir.join("known_hosts"));
    }
    files.extend(match &config.global_known_hosts {
        Some(files) => named(files)?,
        None => vec![PathBuf::from("/etc/ssh/ssh_known_hosts")],
    });
    Ok(files)
}
