//! `%` tokens and `${VARIABLES}` of OpenSSH's configuration (`ssh_config(5)`, TOKENS).

use std::path::{Path, PathBuf};

use sha1::{Digest, Sha1};

use super::{HostSpec, LocalUser, Target};
use crate::{config_file::Value, secret};
use evonic_backend::Result;

/// Replaces `%` and a letter.
pub(super) fn expand(said: &Value, values: &[(char, &str)]) -> Result<String> {
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

/// Replaces `${VARIABLE}` by what the service's environment has.
fn with_variables(said: &Value) -> Result<Value> {
    let mut text = String::new();
    let mut rest = said.value.as_str();
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) =
            after.split_once('}').ok_or_else(|| said.invalid("${ has no } after it"))?;
        text.push_str(before);
        text.push_str(&variable(said, name)?);
        rest = after;
    }
    text.push_str(rest);
    Ok(Value { value: text, location: said.location.clone() })
}

/// A variable of the service's environment.
///
/// # Errors
/// When there is none of that name.
pub(super) fn variable(said: &Value, name: &str) -> Result<String> {
    std::env::var(name)
        .map_err(|_| said.invalid(format!("the service's environment has no variable {name}")))
}

/// This machine's name, as the kernel has it.
pub(super) fn machine() -> String {
    let name = secret::read_text(Path::new("/proc/sys/kernel/hostname"), 1024);
    name.unwrap_or_default().trim().to_owned()
}

/// A path: `~` is the service's own home, and so is what is relative below.
pub(super) fn path(
    said: &Value,
    spec: &HostSpec,
    target: &Target,
    local: &LocalUser<'_>,
) -> Result<PathBuf> {
    let said = &with_variables(said)?;
    let home = local.home.to_string_lossy();
    let port = target.port.to_string();
    let machine = machine();
    let short = machine.split('.').next().unwrap_or_default();
    let uid = nix::unistd::getuid().to_string();
    let jumps = target.jump_list.as_deref().unwrap_or_default();
    let all = format!("{machine}{}{port}{}{jumps}", target.host, target.user);
    let hash = Sha1::digest(all).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let text = expand(
        said,
        &[
            ('C', &hash),
            ('d', &home),
            ('h', &target.host),
            ('i', &uid),
            ('j', jumps),
            ('k', &target.name),
            ('L', short),
            ('l', &machine),
            ('n', &spec.host),
            ('p', &port),
            ('r', &target.user),
            ('u', &local.user),
        ],
    )?;
    match text.strip_prefix('~') {
        Some("") => Ok(local.home.clone()),
        Some(rest) if rest.starts_with('/') => Ok(local.home.join(rest.trim_start_matches('/'))),
        Some(_) => Err(said.invalid(format!("{text}: only the own ~ is expanded"))),
        None => Ok(local.home.join(text)),
    }
}
