//! OpenSSH's client configuration (`ssh_config(5)`), as far as it says where a host is and how to
//! log in there. For each keyword the first value counts; `IdentityFile` and `CertificateFile` add
//! up. What would lead to another machine than OpenSSH, or trust others than that, and is not
//! followed is refused: `Match` (but for `Match all`), `ProxyCommand`, and what `keywords` lists. So
//! is a keyword that nobody knows, unless `IgnoreUnknown` names it.

mod include;
mod keywords;
mod line;

use std::{collections::HashSet, io, net::SocketAddr, path::Path, time::Duration};

use self::keywords::{Unfollowed, unfollowed};
use super::{pattern, secret};
use evonic_backend::{Result, WorkplaceError};

/// What the file says about one host; values as they are written.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct HostConfig {
    pub(super) host_name: Option<Value>,
    pub(super) user: Option<Value>,
    pub(super) port: Option<u16>,
    pub(super) identity_files: Vec<Value>,
    pub(super) certificate_files: Vec<Value>,
    pub(super) identities_only: Option<bool>,
    pub(super) identity_agent: Option<Value>,
    /// The hosts to go over, or `none`; or a command in their place.
    pub(super) proxy: Option<Proxy>,
    pub(super) known_hosts: Option<Vec<Value>>,
    pub(super) global_known_hosts: Option<Vec<Value>>,
    pub(super) host_key_alias: Option<Value>,
    pub(super) strict: Option<Value>,
    pub(super) connect_timeout: Option<Duration>,
    pub(super) address_family: Option<AddressFamily>,
    /// Methods of the protocol, the best first.
    pub(super) preferred: Option<Value>,
    pub(super) pubkey: Option<bool>,
    pub(super) password: Option<bool>,
    pub(super) interactive: Option<bool>,
}

/// `ProxyJump` or `ProxyCommand`, the first of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Proxy {
    /// `ProxyJump`; of `none` a later `ProxyCommand` takes the place.
    Jump(Value),
    Command(Value),
    /// `ProxyCommand none`.
    Direct(Value),
}

impl Proxy {
    /// The list of hosts to go over.
    ///
    /// # Errors
    /// [`WorkplaceError::Settings`] for a command: without it another machine would be reached.
    pub(super) fn jumps(&self) -> Result<&Value> {
        match self {
            Self::Jump(jumps) | Self::Direct(jumps) => Ok(jumps),
            Self::Command(said) => Err(said.invalid(format!(
                "ProxyCommand is not supported; go over a host with ProxyJump, or set \
                 settings.jump (none for a direct connection){NO_FILE}"
            ))),
        }
    }
}

/// The end of advice about a line that cannot be followed.
const NO_FILE: &str = "; or have another file read, or none (--ssh-config none)";

/// Which addresses of a host count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum AddressFamily {
    #[default]
    Any,
    V4,
    V6,
}

impl AddressFamily {
    /// Whether an address counts.
    pub(super) const fn has(self, address: &SocketAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }
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
        let mut reading = Reading::new(host, home);
        let text = match secret::read_bytes(file, LIMIT_BYTES) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !required => Vec::new(),
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
    let (host, text) = bytes.split_at(bytes.iter().position(|&b| b == b'\n').unwrap_or(0));
    let host = String::from_utf8_lossy(host);
    let mut reading = Reading::new(&host, Path::new("/nowhere"));
    let _error = reading.text(Path::new("config"), text, true, DEPTH);
}

struct Reading<'a> {
    host: &'a str,
    home: &'a Path,
    found: HostConfig,
    /// Keywords of which only the first value is judged.
    judged: HashSet<String>,
    /// Patterns of keywords that are passed over (`IgnoreUnknown`).
    ignored: Option<String>,
}

impl<'a> Reading<'a> {
    fn new(host: &'a str, home: &'a Path) -> Self {
        Self { host, home, found: HostConfig::default(), judged: HashSet::new(), ignored: None }
    }

    /// Reads the lines of a file, which count from the beginning on when `active`. A comment may be
    /// of any bytes.
    fn text(&mut self, file: &Path, text: &[u8], mut active: bool, depth: u32) -> Result<()> {
        for (number, line) in text.split(|&byte| byte == b'\n').enumerate() {
            let location = format!("{}:{}", file.display(), number + 1);
            let shown = String::from_utf8_lossy(line);
            let Some((keyword, values)) =
                line::split(&shown).map_err(|why| WorkplaceError::settings(&location, why))?
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
                    let problem =
                        format!("Match is not supported but as Match all; use Host{NO_FILE}");
                    return Err(WorkplaceError::settings(&location, problem));
                }
                _ if !active => {}
                _ if std::str::from_utf8(line).is_err()
                    && values.iter().any(|value| value.contains('\u{fffd}')) =>
                {
                    return Err(WorkplaceError::settings(&location, "is no UTF-8"));
                }
                "include" => self.include(&values, &location, depth)?,
                _ => self.value(&keyword, values, location)?,
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
                match secret::read_bytes(&file, LIMIT_BYTES) {
                    Ok(text) => self.text(&file, &text, true, depth + 1)?,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    // As with OpenSSH, which reads nothing from it.
                    Err(_) if file.is_dir() => {}
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
        let invalid = |problem: String| WorkplaceError::settings(&location, problem);
        let one = || match values.as_slice() {
            [value] if !value.is_empty() => {
                Ok(Value { value: value.clone(), location: location.clone() })
            }
            _ => Err(invalid(format!("{keyword} needs one value"))),
        };
        let flag = || match one()?.value.to_ascii_lowercase().as_str() {
            "yes" | "true" => Ok(true),
            "no" | "false" => Ok(false),
            other => Err(invalid(format!("{other} is neither yes nor no"))),
        };
        let all = || {
            let said = |value: &String| Value { value: value.clone(), location: location.clone() };
            values.iter().map(said).collect::<Vec<_>>()
        };
        match keyword {
            "hostname" => first(&mut found.host_name, one()?),
            "user" => first(&mut found.user, one()?),
            "port" => {
                let port = one()?.value.parse().ok().filter(|&port| port > 0);
                first(&mut found.port, port.ok_or_else(|| invalid("Port is 1 to 65535".into()))?);
            }
            "identityfile" => add(&mut found.identity_files, one()?),
            "certificatefile" => add(&mut found.certificate_files, one()?),
            "identitiesonly" => first(&mut found.identities_only, flag()?),
            "identityagent" => first(&mut found.identity_agent, one()?),
            "proxyjump" => first(&mut found.proxy, Proxy::Jump(one()?)),
            // The rest of the line.
            "proxycommand" => {
                let said = Value { value: values.join(" "), location: location.clone() };
                if matches!(&found.proxy, Some(Proxy::Jump(none)) if none.value == "none") {
                    found.proxy = None;
                }
                first(
                    &mut found.proxy,
                    match said.value.as_str() {
                        "none" => Proxy::Direct(said),
                        _ => Proxy::Command(said),
                    },
                );
            }
            "hostkeyalias" => first(&mut found.host_key_alias, one()?),
            "stricthostkeychecking" => first(&mut found.strict, one()?),
            "connecttimeout" => {
                let seconds = line::seconds(&one()?.value);
                let seconds =
                    seconds.ok_or_else(|| invalid("ConnectTimeout is a time: 10, 1m30s".into()))?;
                if let Some(time) = seconds {
                    first(&mut found.connect_timeout, time);
                }
            }
            "addressfamily" => {
                let family = match one()?.value.to_ascii_lowercase().as_str() {
                    "any" => AddressFamily::Any,
                    "inet" => AddressFamily::V4,
                    "inet6" => AddressFamily::V6,
                    other => return Err(invalid(format!("{other} is none of any, inet, inet6"))),
                };
                first(&mut found.address_family, family);
            }
            "userknownhostsfile" => first(&mut found.known_hosts, all()),
            "globalknownhostsfile" => first(&mut found.global_known_hosts, all()),
            "preferredauthentications" => first(&mut found.preferred, one()?),
            "pubkeyauthentication" => {
                // `unbound` and `host-bound` are kinds of yes.
                let no =
                    ["no", "false"].map(|no| one().map(|one| one.value.eq_ignore_ascii_case(no)));
                let [no, not] = no;
                first(&mut found.pubkey, !(no? || not?));
            }
            "passwordauthentication" => first(&mut found.password, flag()?),
            "kbdinteractiveauthentication"
            | "challengeresponseauthentication"
            | "skeyauthentication"
            | "tisauthentication" => first(&mut found.interactive, flag()?),
            "ignoreunknown" => first(&mut self.ignored, values.join(",").to_ascii_lowercase()),
            _ => return self.unfollowed(keyword, &values, &location),
        }
        Ok(())
    }

    /// Judges a keyword that is not followed.
    fn unfollowed(&mut self, keyword: &str, values: &[String], location: &str) -> Result<()> {
        let refused = |why: String| Err(WorkplaceError::settings(location, why));
        match unfollowed(keyword) {
            Some(Unfollowed::Harmless) => Ok(()),
            Some(Unfollowed::Refused { unless, advice }) => {
                let is_first = self.judged.insert(keyword.to_owned());
                let value = values.join(" ").to_ascii_lowercase();
                if !is_first || unless.contains(&value.as_str()) {
                    return Ok(());
                }
                refused(format!("{keyword} is not supported: {advice}{NO_FILE}"))
            }
            None => {
                let ignored = self.ignored.as_deref().unwrap_or_default();
                if pattern::any_matches(ignored.split(','), keyword) {
                    return Ok(());
                }
                refused(format!(
                    "{keyword} is no keyword of ssh_config; correct it, or let IgnoreUnknown name \
                     it above"
                ))
            }
        }
    }
}

/// One more value, unless it is there.
fn add(values: &mut Vec<Value>, said: Value) {
    if !values.iter().any(|value| value.value == said.value) {
        values.push(said);
    }
}

fn first<T>(slot: &mut Option<T>, value: T) {
    slot.get_or_insert(value);
}

#[cfg(test)]
mod tests;
