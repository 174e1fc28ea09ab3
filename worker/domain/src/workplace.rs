//! A workplace: where an agent's tools act, under a name.

use std::{collections::BTreeMap, path::PathBuf};

use evonic_shared::{config, named};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AgentName, WorkplaceId};

/// A workplace. `local` is always there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workplace {
    pub id: WorkplaceId,
    /// Its name, unique, of the form of an agent's.
    pub name: AgentName,
    /// Its kind and what that needs.
    #[serde(flatten)]
    pub settings: Settings,
    /// RFC 3339, UTC, milliseconds.
    pub created_at: String,
    /// RFC 3339, UTC, milliseconds.
    pub updated_at: String,
}

/// Body of `PATCH /api/v1/workplaces/{id}`: what is absent stays. The kind stays too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkplaceChange {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<AgentName>,
    /// Settings to change: each key replaces the whole value of that key, `null` takes it back to
    /// its default, and what is absent stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<serde_json::Map<String, serde_json::Value>>,
}

named! {
    /// Which backend a workplace has.
    WorkplaceKind {
        /// The machine of the service.
        Local = "local",
        /// Another machine, over SSH.
        Ssh = "ssh",
        /// A container for each session.
        Docker = "docker",
    }
}

/// A kind, and what that needs. In JSON `kind` is the kind's name and `settings` an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "settings", rename_all = "snake_case")]
pub enum Settings {
    Local(LocalSettings),
    Ssh(SshSettings),
    Docker(DockerSettings),
}

impl Settings {
    #[must_use]
    pub const fn kind(&self) -> WorkplaceKind {
        match self {
            Settings::Local(_) => WorkplaceKind::Local,
            Settings::Ssh(_) => WorkplaceKind::Ssh,
            Settings::Docker(_) => WorkplaceKind::Docker,
        }
    }
}

impl Settings {
    /// Files with secrets that it names: no command of a local workplace may read them.
    #[must_use]
    pub fn secret_files(&self) -> Vec<PathBuf> {
        match self {
            Self::Local(_) => Vec::new(),
            Self::Ssh(ssh) => {
                let sources = [&ssh.password, &ssh.passphrase].into_iter().flatten();
                let files = sources.filter_map(|source| match source {
                    SecretSource::File(path) => Some(path.clone()),
                    SecretSource::Env(_) | SecretSource::Credential(_) => None,
                });
                files.chain(ssh.identity_files.iter().cloned()).collect()
            }
            Self::Docker(docker) => docker.cert_path.iter().cloned().collect(),
        }
    }
}

/// Settings of a local workplace; what is absent is `[workplace]` of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LocalSettings {
    /// The folder; `[workplace] root` of the configuration when not given.
    #[schemars(extend("x-value" = "PATH"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
    /// Give each session a folder of its own, sessions/ID.
    pub session_folders: bool,
    /// What keeps commands inside: auto, namespaces, landlock or none; `[workplace] sandbox` of the
    /// configuration when not given.
    #[schemars(extend("x-value" = "LEVEL"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<CommandSandbox>,
    /// The network of commands: host or none, `[workplace] network` of the configuration when not
    /// given; in a container none, or the name of a network of the engine.
    #[schemars(extend("x-value" = "NAME"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<CommandNetwork>,
}

/// What keeps commands inside of a local workplace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Hash)]
#[serde(rename_all = "snake_case")]
pub enum CommandSandbox {
    /// The best that the machine can do.
    Auto,
    /// Namespaces, with Landlock and seccomp inside.
    Namespaces,
    /// Landlock and seccomp.
    Landlock,
    /// Nothing.
    None,
}

impl From<CommandSandbox> for config::Sandbox {
    fn from(sandbox: CommandSandbox) -> Self {
        match sandbox {
            CommandSandbox::Auto => Self::Auto,
            CommandSandbox::Namespaces => Self::Namespaces,
            CommandSandbox::Landlock => Self::Landlock,
            CommandSandbox::None => Self::None,
        }
    }
}

/// What commands of a local workplace reach of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Hash)]
#[serde(rename_all = "snake_case")]
pub enum CommandNetwork {
    /// All that the machine does.
    Host,
    /// Nothing but themselves.
    None,
}

impl From<CommandNetwork> for config::CommandNetwork {
    fn from(network: CommandNetwork) -> Self {
        match network {
            CommandNetwork::Host => Self::Host,
            CommandNetwork::None => Self::None,
        }
    }
}

/// Settings of an SSH workplace. What is absent comes from `config_file`, then from OpenSSH's
/// defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SshSettings {
    /// A name, an address, or an alias of the SSH configuration.
    pub host: String,
    /// The port; 22 when nobody says.
    #[schemars(extend("x-value" = "PORT"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Who to log in as; in a container UID:GID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Of agent, key, password, keyboard-interactive, in this order, separated by commas.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub authenticate: Vec<SshAuth>,
    /// A private key; may be given several times.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub identity_files: Vec<PathBuf>,
    /// Where the keys' passphrase is: env:NAME, file:PATH or credential:NAME.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passphrase: Option<SecretSource>,
    /// Where the password is: env:NAME, file:PATH or credential:NAME.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretSource>,
    /// Host keys; known_hosts in state_dir when not given.
    #[schemars(extend("x-value" = "PATH"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known_hosts: Option<PathBuf>,
    /// What to do about an unknown host: strict refuses it, accept-new takes its key down.
    pub host_keys: HostKeys,
    /// OpenSSH's configuration, or none; ~/.ssh/config of the service's user when not given.
    #[schemars(extend("x-value" = "PATH", "x-option" = "ssh-config"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_file: Option<PathBuf>,
    /// Hosts to go over: `[user@]host[:port]`, separated by commas.
    #[schemars(extend("x-value" = "HOSTS"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jump: Option<String>,
    /// The folder to work in, relative to the home there.
    #[schemars(extend("x-value" = "PATH"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// Give each session a folder of its own, sessions/ID.
    pub session_folders: bool,
}

/// A way to authenticate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Hash)]
#[serde(rename_all = "snake_case")]
pub enum SshAuth {
    /// Keys of the agent at `$SSH_AUTH_SOCK`.
    Agent,
    Key,
    Password,
    /// The password, as the answer to each question that is not echoed.
    KeyboardInteractive,
}

/// What to do about a host that is not known. A changed key is always refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Hash)]
#[serde(rename_all = "snake_case")]
pub enum HostKeys {
    /// Refuse it.
    #[default]
    Strict,
    /// Take its key down, and go on.
    AcceptNew,
}

/// Where a secret is, on the service's machine. The secret itself is never stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Hash)]
#[serde(rename_all = "snake_case")]
pub enum SecretSource {
    /// A variable of the service's environment.
    Env(String),
    /// A file; white space around its content is removed.
    File(PathBuf),
    /// A systemd credential.
    Credential(String),
}

/// Settings of a Docker workplace: one container for each session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DockerSettings {
    /// unix:///PATH or tcp://HOST:PORT; `[docker] engine` when not given.
    #[schemars(extend("x-value" = "ADDRESS"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// The folder of ca.pem, cert.pem and key.pem, for tcp://.
    #[schemars(extend("x-value" = "PATH"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert_path: Option<PathBuf>,
    /// The image; `evonic sandbox build` makes the default one.
    pub image: String,
    /// `UID` or `UID:GID`, not 0.
    pub user: String,
    /// The most memory, swap included: 1G.
    pub memory_bytes: u64,
    /// Processors, in thousandths of one.
    pub cpu_millis: u32,
    /// The most processes and threads.
    pub pids: u32,
    /// The most open files of a process.
    pub open_files: u32,
    /// The size of /tmp, in memory: 64M.
    pub tmp_bytes: u64,
    /// none, or the name of a network of the engine.
    #[schemars(extend("x-value" = "NAME"))]
    pub network: String,
    /// A variable of the environment; may be given several times.
    #[schemars(extend("x-option" = "env"))]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
}

impl Default for DockerSettings {
    fn default() -> Self {
        Self {
            engine: None,
            cert_path: None,
            image: "evonic-sandbox:latest".to_owned(),
            user: "1000:1000".to_owned(),
            memory_bytes: 1 << 30,
            cpu_millis: 1000,
            pids: 256,
            open_files: 1024,
            tmp_bytes: 64 << 20,
            network: "none".to_owned(),
            environment: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NewWorkplace;

    #[test]
    fn a_workplace_reads_as_it_is_written() {
        let text = r#"{"name": "box", "kind": "ssh", "settings": {"host": "h", "port": 2222,
            "password": {"file": "/p"}, "host_keys": "accept_new"}}"#;
        let new: NewWorkplace = serde_json::from_str(text).unwrap();
        let Settings::Ssh(ssh) = &new.settings else { panic!("{new:?}") };
        assert_eq!((ssh.host.as_str(), ssh.port), ("h", Some(2222)));
        assert_eq!(ssh.password, Some(SecretSource::File("/p".into())));
        let again = serde_json::to_string(&new).unwrap();
        assert_eq!(serde_json::from_str::<NewWorkplace>(&again).unwrap(), new);
        let unknown = r#"{"name": "box", "kind": "docker", "settings": {"imagine": "x"}}"#;
        let error = serde_json::from_str::<NewWorkplace>(unknown).unwrap_err();
        assert!(error.to_string().contains("imagine"), "{error}");
    }
}
