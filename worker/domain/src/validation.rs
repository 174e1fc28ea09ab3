//! Whether settings of a workplace can be used, checked without I/O.

use std::path::Path;

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
            WorkplaceKind::Local => serde_path_to_error::deserialize(settings).map(Settings::Local),
            WorkplaceKind::Ssh => serde_path_to_error::deserialize(settings).map(Settings::Ssh),
            WorkplaceKind::Docker => {
                serde_path_to_error::deserialize(settings).map(Settings::Docker)
            }
        }
        .map_err(|error| {
            let path = error.path().to_string();
            for secret in ["password", "passphrase"] {
                let tail = path.strip_prefix(secret);
                if tail.is_some_and(|tail| tail.is_empty() || tail.starts_with(['.', '['])) {
                    return malformed(secret, SECRET);
                }
            }
            let problem = error.into_inner().to_string();
            if path == "." {
                SettingsError { field: "settings".to_owned(), problem, malformed: true }
            } else {
                malformed(&path, problem)
            }
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
        let mut settings = match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(mut whole)) => match whole.remove("settings") {
                Some(serde_json::Value::Object(settings)) => settings,
                _ => serde_json::Map::new(),
            },
            _ => serde_json::Map::new(),
        };
        for (key, value) in change {
            if !value.is_null() {
                settings.insert(key, value);
            } else if settings.remove(&key).is_none() {
                // Resetting what has its default is no change; a key that nobody knows is a slip.
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
    settings.root.as_deref().map_or(Ok(()), |root| whole_path("root", root))
}

fn check_ssh(settings: &SshSettings) -> Result<(), SettingsError> {
    if settings.host.is_empty() {
        return unusable("host", "is empty; write a name, an address or an alias");
    }
    word("host", &settings.host)?;
    // It would be read as an option where the name meets a command line.
    if settings.host.starts_with('-') {
        return unusable("host", "begins with '-'; write a name, an address or an alias");
    }
    if settings.host.contains('@') {
        return unusable("host", "contains '@'; the user belongs into settings.user");
    }
    if settings.port == Some(0) {
        return unusable("port", "is 0; write a port from 1 to 65535");
    }
    if let Some(user) = &settings.user {
        word("user", user)?;
    }
    for (index, way) in settings.authenticate.iter().enumerate() {
        if settings.authenticate[..index].contains(way) {
            return unusable(&format!("authenticate[{index}]"), "is given twice");
        }
    }
    count("identity_files", settings.identity_files.len())?;
    for (index, file) in settings.identity_files.iter().enumerate() {
        whole_path(&format!("identity_files[{index}]"), file)?;
    }
    secret("passphrase", settings.passphrase.as_ref())?;
    secret("password", settings.password.as_ref())?;
    for (field, path) in
        [("known_hosts", &settings.known_hosts), ("config_file", &settings.config_file)]
    {
        path.as_deref().map_or(Ok(()), |path| whole_path(field, path))?;
    }
    if let Some(jump) = &settings.jump {
        word("jump", jump)?;
        if jump.split(',').any(str::is_empty) {
            return unusable(
                "jump",
                "names no host; write [user@]host[:port], with commas between",
            );
        }
    }
    settings.folder.as_deref().map_or(Ok(()), |folder| text("folder", folder))
}

fn check_docker(settings: &DockerSettings) -> Result<(), SettingsError> {
    if let Some(engine) = &settings.engine {
        engine_address(engine)?;
    }
    settings.cert_path.as_deref().map_or(Ok(()), |path| whole_path("cert_path", path))?;
    word("image", &settings.image)?;
    word("network", &settings.network)?;
    user(&settings.user)?;
    limits(settings)?;
    count("environment", settings.environment.len())?;
    for (name, value) in &settings.environment {
        let field = format!("environment.{name}");
        if name.is_empty() || name.contains(|c: char| c == '=' || c.is_whitespace()) {
            return unusable(&field, "is no name of a variable");
        }
        text_or_empty(&field, value)?;
    }
    Ok(())
}

fn limits(settings: &DockerSettings) -> Result<(), SettingsError> {
    let within = |field: &str, value: u64, least: u64, most: u64| {
        if (least..=most).contains(&value) {
            return Ok(());
        }
        unusable(field, format!("is {value}; write a number from {least} to {most}"))
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
    const ADVICE: &str = "is no engine's address; write unix:///PATH or tcp://HOST:PORT";
    word("engine", engine)?;
    if let Some(path) = engine.strip_prefix("unix://") {
        return if path.len() > 1 && path.starts_with('/') {
            Ok(())
        } else {
            unusable("engine", ADVICE)
        };
    }
    let host_and_port = engine.strip_prefix("tcp://").and_then(|rest| rest.rsplit_once(':'));
    match host_and_port.map(|(host, port)| (host, port.parse::<u16>())) {
        Some((host, Ok(port))) if !host.is_empty() && port > 0 && !host.contains(['/', '@']) => {
            Ok(())
        }
        _ => unusable("engine", ADVICE),
    }
}

/// `UID` or `UID:GID`, neither of them 0.
fn user(user: &str) -> Result<(), SettingsError> {
    let (uid, gid) = user.split_once(':').map_or((user, None), |(uid, gid)| (uid, Some(gid)));
    for number in [Some(uid), gid].into_iter().flatten() {
        match number.parse::<u32>() {
            Ok(0) => {
                return unusable("user", "is root; commands run as another user: UID:GID");
            }
            Ok(_) if number.bytes().all(|byte| byte.is_ascii_digit()) => {}
            _ => return unusable("user", "is no UID or UID:GID in numbers, such as 1000:1000"),
        }
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
            if name.contains('=') {
                // Not repeated: it may be the secret itself.
                return unusable(&field, "is no name of a variable");
            }
            Ok(())
        }
        Some(SecretSource::Credential(name)) => {
            let field = format!("{field}.credential");
            word(&field, name)?;
            if name.contains('/') || name == "." || name == ".." {
                return unusable(&field, "is no name of a credential");
            }
            Ok(())
        }
    }
}

fn whole_path(field: &str, path: &Path) -> Result<(), SettingsError> {
    text(field, &path.to_string_lossy())?;
    if !path.is_absolute() {
        return unusable(field, "is no whole path; write it from / on");
    }
    Ok(())
}

/// A text without white space.
fn word(field: &str, value: &str) -> Result<(), SettingsError> {
    text(field, value)?;
    if value.contains(char::is_whitespace) {
        return unusable(field, "contains white space");
    }
    Ok(())
}

fn text(field: &str, value: &str) -> Result<(), SettingsError> {
    if value.is_empty() {
        return unusable(field, "is empty");
    }
    text_or_empty(field, value)
}

fn text_or_empty(field: &str, value: &str) -> Result<(), SettingsError> {
    if value.len() > TEXT_BYTES {
        return unusable(field, format!("has more than {TEXT_BYTES} bytes"));
    }
    if value.contains(char::is_control) {
        return unusable(field, "contains a control character");
    }
    Ok(())
}

fn count(field: &str, entries: usize) -> Result<(), SettingsError> {
    if entries > ENTRIES {
        return unusable(field, format!("has {entries} entries; at most {ENTRIES} are taken"));
    }
    Ok(())
}

fn unusable(field: &str, problem: impl Into<String>) -> Result<(), SettingsError> {
    let field = format!("settings.{field}");
    Err(SettingsError { field, problem: problem.into(), malformed: false })
}

fn malformed(field: &str, problem: impl Into<String>) -> SettingsError {
    SettingsError { field: format!("settings.{field}"), problem: problem.into(), malformed: true }
}

#[cfg(test)]
mod tests;
