//! OpenSSH's client configuration (`ssh_config(5)`), as far as it says where a host is and how to
//! log in there. For each keyword the first value counts; `IdentityFile` adds up. Keywords that are
//! not known are passed over. `Match` is refused, but for `Match all`: to pass over it could mean
//! to connect to another machine than meant.

mod include;
mod line;

use std::{io, path::Path, time::Duration};

use super::{pattern, secret};
use evonic_backend::{Result, WorkplaceError};

/// What the file says about one host; values as they are written.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct HostConfig {
    pub(super) host_name: Option<Value>,
    pub(super) user: Option<Value>,
    pub(super) port: Option<u16>,
    pub(super) identity_files: Vec<Value>,
    pub(super) identity_agent: Option<Value>,
    pub(super) proxy_jump: Option<Value>,
    pub(super) known_hosts: Option<Vec<Value>>,
    pub(super) host_key_alias: Option<Value>,
    pub(super) strict: Option<Value>,
    pub(super) connect_timeout: Option<Duration>,
}

/// A value, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) value: String,
    /// `FILE:LINE`.
    pub(super) location: String,
}

impl Value {
    /// The error of a value that cannot be used: its place is the field.
    pub(super) fn invalid(&self, problem: impl Into<String>) -> WorkplaceError {
        WorkplaceError::settings(self.location.as_str(), problem)
    }
}

/// The most bytes of a file, and the deepest nesting of `Include`.
const LIMIT_BYTES: u64 = 1 << 20;
const DEPTH: u32 = 16;

impl HostConfig {
    /// What `file` says about `host`, the name as it was given. `home` is that of the service's
    /// user: for `~`, and for relative `Include`s, which are below its `.ssh`.
    ///
    /// # Errors
    /// [`WorkplaceError::Settings`] with file and line; a file that is missing is one only when
    /// `required`.
    pub(super) fn read(file: &Path, host: &str, home: &Path, required: bool) -> Result<Self> {
        let mut reading = Reading { host, home, found: Self::default() };
        let text = match secret::read_text(file, LIMIT_BYTES) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !required => String::new(),
            Err(error) => {
                let problem = format!("{} cannot be read: {error}", file.display());
                return Err(WorkplaceError::settings("settings.config_file", problem));
            }
        };
        reading.text(file, &text, true, 0)?;
        Ok(reading.found)
    }
}

/// The decoder of these files, for the fuzzer. The first line is the host that is looked up. No
/// other file is opened.
pub(crate) fn decoded(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (host, text) = text.split_once('\n').unwrap_or((text, ""));
    let home = Path::new("/nowhere");
    let mut reading = Reading { host, home, found: HostConfig::default() };
    let _error = reading.text(Path::new("config"), text, true, DEPTH);
}

struct Reading<'a> {
    host: &'a str,
    home: &'a Path,
    found: HostConfig,
}

impl Reading<'_> {
    /// Reads the lines of a file, which count from the beginning on when `active`.
    fn text(&mut self, file: &Path, text: &str, mut active: bool, depth: u32) -> Result<()> {
        for (number, line) in text.lines().enumerate() {
            let location = format!("{}:{}", file.display(), number + 1);
            let Some((keyword, values)) =
                line::split(line).map_err(|why| WorkplaceError::settings(&location, why))?
            else {
                continue;
            };
            match keyword.as_str() {
                "host" => {
                    active = pattern::any_matches(values.iter().map(String::as_str), self.host);
                }
                "match" if matches!(values.as_slice(), [all] if all.eq_ignore_ascii_case("all")) => {
                    active = true;
                }
                "match" => {
                    return Err(WorkplaceError::settings(
                        &location,
                        "Match is not supported but as Match all; use Host",
                    ));
                }
                "include" if active => self.include(&values, &location, depth)?,
                _ if active => self.value(&keyword, values, location)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn include(&mut self, values: &[String], location: &str, depth: u32) -> Result<()> {
        if depth >= DEPTH {
            return Err(WorkplaceError::settings(location, "too many Includes within each other"));
        }
        for value in values {
            let path = match value.strip_prefix("~/") {
                Some(below) => self.home.join(below),
                None => self.home.join(".ssh").join(value),
            };
            for file in include::expand(&path) {
                match secret::read_text(&file, LIMIT_BYTES) {
                    Ok(text) => self.text(&file, &text, true, depth + 1)?,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => {
                        return Err(WorkplaceError::settings(
                            location,
                            format!("{}: {error}", file.display()),
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes a value down if it is the first.
    fn value(&mut self, keyword: &str, values: Vec<String>, location: String) -> Result<()> {
        let found = &mut self.found;
        let one = || match values.as_slice() {
            [value] if !value.is_empty() => {
                Ok(Value { value: value.clone(), location: location.clone() })
            }
            _ => Err(WorkplaceError::settings(&location, format!("{keyword} needs one value"))),
        };
        match keyword {
            "hostname" => first(&mut found.host_name, one()?),
            "user" => first(&mut found.user, one()?),
            "port" => {
                let port = one()?.value.parse().ok().filter(|&port| port > 0);
                first(
                    &mut found.port,
                    port.ok_or_else(|| WorkplaceError::settings(&location, "Port is 1 to 65535"))?,
                );
            }
            "identityfile" => {
                let said = one()?;
                if !found.identity_files.iter().any(|file| file.value == said.value) {
                    found.identity_files.push(said);
                }
            }
            "identityagent" => first(&mut found.identity_agent, one()?),
            "proxyjump" => first(&mut found.proxy_jump, one()?),
            "hostkeyalias" => first(&mut found.host_key_alias, one()?),
            "stricthostkeychecking" => first(&mut found.strict, one()?),
            "connecttimeout" => {
                let value = one()?.value;
                let seconds = line::seconds(&value).ok_or_else(|| {
                    WorkplaceError::settings(&location, "ConnectTimeout is a time: 10, 1m30s")
                })?;
                if let Some(time) = seconds {
                    first(&mut found.connect_timeout, time);
                }
            }
            "userknownhostsfile" => {
                let said = |value| Value { value, location: location.clone() };
                first(&mut found.known_hosts, values.into_iter().map(said).collect());
            }
            _ => {}
        }
        Ok(())
    }
}

fn first<T>(slot: &mut Option<T>, value: T) {
    slot.get_or_insert(value);
}

#[cfg(test)]
mod tests;
