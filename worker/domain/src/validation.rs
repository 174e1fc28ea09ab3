//! Whether settings of a workplace can be used, checked without I/O.

use std::path::Path;

use serde_path_to_error::deserialize;

use crate::workplace::{
    DockerSettings, LocalSettings, SecretSource, Settings, SshSettings, WorkplaceKind,
};

/// Settings that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field '{field}': {problem}")]
pub struct SettingsError {
    /// The field: `settings.identity_files[0]`.
    pub field: String,
    /// What is wrong, and what to do.
    pub problem: String,
    /// Whether the value is of the wrong form, rather than one that cannot be used.
    pub malformed: bool,
}

/// The form of an entry that says where a secret is.
const SECRET: &str = "a secret is never stored: say where it is, {\"env\": \"NAME\"}, \
                      {\"file\": \"/PATH\"} or {\"credential\": \"NAME\"}";

/// The longest text of a field, in bytes.
const TEXT_BYTES: usize = 4096;

/// The most entries of a list or a map.
const ENTRIES: usize = 64;

/// The least memory of a container that the engine accepts.
const LEAST_MEMORY_BYTES: u64 = 6 << 20;

impl Settings {
    /// Reads the settings of a kind from JSON. A secret that stands where only its place belongs
    /// is not repeated in the error.
    ///
    /// # Errors
    /// [`SettingsError`] that names the field.
    pub fn read(
        kind: WorkplaceKind,
        settings: serde_json::Map<String, serde_json::Value>,
    ) -> Result<Self, SettingsError> {
        let settings = serde_json::Value::Object(settings);
        match kind {
            WorkplaceKind::Local => deserialize(settings).map(Settings::Local),
            WorkplaceKind::Ssh => deserialize(settings).map(Settings::Ssh),
            WorkplaceKind::Docker => deserialize(settings).map(Settings::Docker),
        }
        .map_err(|error| {
            let path = error.path().to_string();
            for secret in ["password", "passphrase"] {
                let tail = path.strip_prefix(secret);
                if tail.is_some_and(|tail| tail.is_empty() || tail.starts_with(['.', '['])) {
                    let field = format!("settings.{secret}");
                    return SettingsError { field, problem: SECRET.to_owned(), malformed: true };
                }
            }
            let problem = error.into_inner().to_string();
            let field = if path == "." { "settings".into() } else { format!("settings.{path}") };
            SettingsError { field, problem, malformed: true }
        })
    }

    /// These settings with others of the same kind laid over: each key that is given replaces the
    /// whole value of that key, and `null` takes it back to its default.
    ///
    /// # Errors
    /// As [`Settings::read`].
    pub fn changed(
        &self,
        change: serde_json::Map<String, serde_json::Value>,
    ) -> Result<Self, SettingsError> {
        let mut settings =
            match serde_json::to_value(self).map(|mut whole| whole["settings"].take()) {
                Ok(serde_json::Value::Object(settings)) => settings,
                _ => serde_json::Map::new(),
            };
        for (key, value) in change {
            if !value.is_null() {
                settings.insert(key, value);
            } else if settings.remove(&key).is_none() {
                // Resetting what has its default is no change; an unknown key is a slip.
                let probe = serde_json::Map::from_iter([(key.clone(), value)]);
                if let Err(error) = Settings::read(self.kind(), probe)
                    && error.problem.starts_with("unknown field")
                {
                    return Err(error);
                }
            }
        }
        Settings::read(self.kind(), settings)
    }

    /// Checks what the settings tell by themselves: no file is looked at, nothing is resolved.
    ///
    /// # Errors
    /// [`SettingsError`] for the first field that cannot be used.
    pub fn check(&self) -> Result<(), SettingsError> {
        match self {
            Settings::Local(local) => check_local(local),
            Settings::Ssh(ssh) => check_ssh(ssh),
            Settings::Docker(docker) => check_docker(docker),
        }
    }
}

fn check_local(settings: &LocalSettings) -> Result<(), SettingsError> {
    whole_path_if_given("root", settings.root.as_deref())
}

fn check_ssh(settings: &SshSettings) -> Result<(), SettingsError> {
    let host = &settings.host;
    ensure(!host.is_empty(), "host", "is empty; write a name, an address or an alias")?;
    word("host", host)?;
    // It would be read as an option where the name meets a command line.
    let advice = "begins with '-'; write a name, an address or an alias";
    ensure(!host.starts_with('-'), "host", advice)?;
    ensure(!host.contains('@'), "host", "contains '@'; the user belongs into settings.user")?;
    ensure(settings.port != Some(0), "port", "is 0; write a port from 1 to 65535")?;
    settings.user.as_ref().map_or(Ok(()), |user| word("user", user))?;
    for (index, way) in settings.authenticate.iter().enumerate() {
        let is_new = !settings.authenticate[..index].contains(way);
        ensure(is_new, &format!("authenticate[{index}]"), "is given twice")?;
    }
    count("identity_files", settings.identity_files.len())?;
    for (index, file) in settings.identity_files.iter().enumerate() {
        whole_path(&format!("identity_files[{index}]"), file)?;
    }
    secret("passphrase", settings.passphrase.as_ref())?;
    secret("password", settings.password.as_ref())?;
    whole_path_if_given("known_hosts", settings.known_hosts.as_deref())?;
    let file = settings.config_file.as_deref().filter(|file| file.as_os_str() != "none");
    whole_path_if_given("config_file", file)?;
    if let Some(jump) = &settings.jump {
        word("jump", jump)?;
        let advice = "names no host; write [user@]host[:port], with commas between";
        ensure(!jump.split(',').any(str::is_empty), "jump", advice)?;
    }
    settings.folder.as_deref().map_or(Ok(()), |folder| text("folder", folder))
}

fn check_docker(settings: &DockerSettings) -> Result<(), SettingsError> {
    settings.engine.as_deref().map_or(Ok(()), engine_address)?;
    whole_path_if_given("cert_path", settings.cert_path.as_deref())?;
    word("image", &settings.image)?;
    word("network", &settings.network)?;
    user(&settings.user)?;
    limits(settings)?;
    count("environment", settings.environment.len())?;
    for (name, value) in &settings.environment {
        let field = format!("environment.{name}");
        let is_name = !name.is_empty() && !name.contains(|c: char| c == '=' || c.is_whitespace());
        ensure(is_name, &field, "is no name of a variable")?;
        text_or_empty(&field, value)?;
    }
    Ok(())
}

fn limits(settings: &DockerSettings) -> Result<(), SettingsError> {
    let within = |field: &str, value: u64, least: u64, most: u64| {
        let advice = format!("is {value}; write a number from {least} to {most}");
        ensure((least..=most).contains(&value), field, advice)
    };
    within("memory_bytes", settings.memory_bytes, LEAST_MEMORY_BYTES, 1 << 50)?;
    within("cpu_millis", settings.cpu_millis.into(), 10, 1_024_000)?;
    // The shell that watches over a command, and what it starts, need some.
    within("pids", settings.pids.into(), 16, 4_194_304)?;
    within("open_files", settings.open_files.into(), 64, 1_048_576)?;
    within("tmp_bytes", settings.tmp_bytes, 1 << 20, 1 << 50)
}

/// `unix:///PATH` or `tcp://HOST:PORT`.
fn engine_address(engine: &str) -> Result<(), SettingsError> {
    word("engine", engine)?;
    let is_address = match engine.split_once("://") {
        Some(("unix", path)) => path.len() > 1 && path.starts_with('/'),
        Some(("tcp", rest)) => rest.rsplit_once(':').is_some_and(|(host, port)| {
            let is_host = !host.is_empty() && !host.contains(['/', '@']);
            is_host && port.parse::<u16>().is_ok_and(|port| port > 0)
        }),
        _ => false,
    };
    let advice = "is no engine's address; write unix:///PATH or tcp://HOST:PORT";
    ensure(is_address, "engine", advice)
}

/// `UID` or `UID:GID`, neither of them 0.
fn user(user: &str) -> Result<(), SettingsError> {
    for number in user.splitn(2, ':') {
        let is_plain = number.bytes().all(|byte| byte.is_ascii_digit());
        let id = number.parse::<u32>().ok();
        ensure(id != Some(0), "user", "is root; commands run as another user: UID:GID")?;
        let advice = "is no UID or UID:GID in numbers, such as 1000:1000";
        ensure(is_plain && id.is_some(), "user", advice)?;
    }
    Ok(())
}

fn secret(field: &str, source: Option<&SecretSource>) -> Result<(), SettingsError> {
    match source {
        None => Ok(()),
        Some(SecretSource::File(path)) => whole_path(&format!("{field}.file"), path),
        Some(SecretSource::Env(name)) => {
            let field = format!("{field}.env");
            word(&field, name)?;
            // Not repeated: it may be the secret itself.
            ensure(!name.contains('='), &field, "is no name of a variable")
        }
        Some(SecretSource::Credential(name)) => {
            let field = format!("{field}.credential");
            word(&field, name)?;
            let is_name = !name.contains('/') && name != "." && name != "..";
            ensure(is_name, &field, "is no name of a credential")
        }
    }
}

fn whole_path_if_given(field: &str, path: Option<&Path>) -> Result<(), SettingsError> {
    path.map_or(Ok(()), |path| whole_path(field, path))
}

fn whole_path(field: &str, path: &Path) -> Result<(), SettingsError> {
    text(field, &path.to_string_lossy())?;
    ensure(path.is_absolute(), field, "is no whole path; write it from / on")
}

/// A text without white space.
fn word(field: &str, value: &str) -> Result<(), SettingsError> {
    text(field, value)?;
    ensure(!value.contains(char::is_whitespace), field, "contains white space")
}

fn text(field: &str, value: &str) -> Result<(), SettingsError> {
    ensure(!value.is_empty(), field, "is empty")?;
    text_or_empty(field, value)
}

fn text_or_empty(field: &str, value: &str) -> Result<(), SettingsError> {
    let advice = format!("has more than {TEXT_BYTES} bytes");
    ensure(value.len() <= TEXT_BYTES, field, advice)?;
    ensure(!value.contains(char::is_control), field, "contains a control character")
}

fn count(field: &str, entries: usize) -> Result<(), SettingsError> {
    let advice = format!("has {entries} entries; at most {ENTRIES} are taken");
    ensure(entries <= ENTRIES, field, advice)
}

/// Refuses a field, unless it `fits`.
fn ensure(fits: bool, field: &str, problem: impl Into<String>) -> Result<(), SettingsError> {
    if fits {
        return Ok(());
    }
    let field = format!("settings.{field}");
    Err(SettingsError { field, problem: problem.into(), malformed: false })
}

#[cfg(test)]
mod tests;
