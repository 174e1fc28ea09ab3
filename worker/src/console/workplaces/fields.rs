//! Settings of workplaces as options and as `KEY=VALUE`: one table for both.

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Map, Value};

use crate::console::error::ConsoleError;

/// What is written for a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// As it is.
    Text,
    /// A word of a list, with `-` for `_`.
    Word,
    /// Several of them, separated by commas.
    Words,
    /// A number.
    Number,
    /// Bytes, with K, M, G or T behind them.
    Bytes,
    /// Yes or no; as an option, yes.
    Switch,
    /// Paths: an option each, or separated by commas.
    Paths,
    /// Where a secret is: `env:NAME`, `file:PATH` or `credential:NAME`.
    Secret,
    /// Variables: an option each, or separated by commas.
    Pairs,
}

/// A setting.
struct Field {
    key: &'static str,
    option: &'static str,
    form: Form,
    heading: &'static str,
    value: &'static str,
    help: &'static str,
}

const fn field(
    (key, option): (&'static str, &'static str),
    form: Form,
    heading: &'static str,
    value: &'static str,
    help: &'static str,
) -> Field {
    Field { key, option, form, heading, value, help }
}

const LOCAL: &str = "Local";
const SSH: &str = "SSH";
const DOCKER: &str = "Docker";

/// Every setting, in the order in which help shows them.
#[rustfmt::skip]
const FIELDS: [Field; 24] = [
    field(("session_folders", "session-folders"), Form::Switch, "Local and SSH", "",
        "Give each session a folder of its own, sessions/ID"),
    field(("user", "user"), Form::Text, "SSH and Docker", "USER",
        "Who to log in as; in a container UID:GID"),
    field(("root", "root"), Form::Text, LOCAL, "PATH",
        "The folder; [workplace] root of the configuration when not given"),
    field(("host", "host"), Form::Text, SSH, "HOST",
        "A name, an address, or an alias of the SSH configuration"),
    field(("port", "port"), Form::Number, SSH, "PORT", "The port; 22 when nobody says"),
    field(("authenticate", "authenticate"), Form::Words, SSH, "WAYS",
        "Of agent, key, password, keyboard-interactive, in this order, separated by commas"),
    field(("identity_files", "identity-file"), Form::Paths, SSH, "PATH",
        "A private key; may be given several times"),
    field(("passphrase", "passphrase"), Form::Secret, SSH, "WHERE",
        "Where the keys' passphrase is: env:NAME, file:PATH or credential:NAME"),
    field(("password", "password"), Form::Secret, SSH, "WHERE",
        "Where the password is: env:NAME, file:PATH or credential:NAME"),
    field(("known_hosts", "known-hosts"), Form::Text, SSH, "PATH",
        "Host keys; known_hosts in state_dir when not given"),
    field(("host_keys", "host-keys"), Form::Word, SSH, "HOW",
        "What to do about an unknown host: strict refuses it, accept-new takes its key down"),
    field(("config_file", "ssh-config"), Form::Text, SSH, "PATH",
        "OpenSSH's configuration; ~/.ssh/config of the service's user when not given"),
    field(("jump", "jump"), Form::Text, SSH, "HOSTS",
        "Hosts to go over: [user@]host[:port], separated by commas"),
    field(("folder", "folder"), Form::Text, SSH, "PATH",
        "The folder to work in, relative to the home there"),
    field(("engine", "engine"), Form::Text, DOCKER, "ADDRESS",
        "unix:///PATH or tcp://HOST:PORT; [docker] engine when not given"),
    field(("cert_path", "cert-path"), Form::Text, DOCKER, "PATH",
        "The folder of ca.pem, cert.pem and key.pem, for tcp://"),
    field(("image", "image"), Form::Text, DOCKER, "IMAGE",
        "The image; `evonic sandbox build` makes the default one"),
    field(("memory_bytes", "memory"), Form::Bytes, DOCKER, "BYTES",
        "The most memory, swap included: 1G"),
    field(("cpu_millis", "cpu-millis"), Form::Number, DOCKER, "N",
        "Processors, in thousandths of one"),
    field(("pids", "pids"), Form::Number, DOCKER, "N", "The most processes and threads"),
    field(("open_files", "open-files"), Form::Number, DOCKER, "N",
        "The most open files of a process"),
    field(("tmp_bytes", "tmp"), Form::Bytes, DOCKER, "BYTES", "The size of /tmp, in memory: 64M"),
    field(("network", "network"), Form::Text, DOCKER, "NAME",
        "none, or the name of a network of the engine"),
    field(("environment", "env"), Form::Pairs, DOCKER, "NAME=VALUE",
        "A variable of the environment; may be given several times"),
];

/// Settings that were given as options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::console) struct SettingsOptions {
    given: Vec<(&'static str, Vec<String>)>,
}

impl SettingsOptions {
    /// They, laid over what `--settings` said.
    ///
    /// # Errors
    /// [`ConsoleError::Usage`] that names the option.
    pub(super) fn over(
        &self,
        mut settings: Map<String, Value>,
    ) -> Result<Map<String, Value>, ConsoleError> {
        for (key, values) in &self.given {
            let Some(field) = FIELDS.iter().find(|field| field.key == *key) else { continue };
            let value = read(field.form, values).map_err(|problem| {
                ConsoleError::Usage(format!("--{} {}: {problem}", field.option, values.join(" ")))
            })?;
            settings.insert((*key).to_owned(), value);
        }
        Ok(settings)
    }
}

/// A `KEY=VALUE`; without a value the setting goes back to its default.
///
/// # Errors
/// [`ConsoleError::Usage`] that names the key.
pub(super) fn assignment(text: &str) -> Result<(String, Value), ConsoleError> {
    let Some((key, value)) = text.split_once('=') else {
        return Err(ConsoleError::Usage(format!("{text:?} is no KEY=VALUE")));
    };
    let known = FIELDS.iter().find(|field| field.key == key || field.option == key);
    let (key, form) = known.map_or((key, Form::Text), |field| (field.key, field.form));
    let value = match (value, form) {
        ("", _) => Value::Null,
        (value, Form::Words | Form::Paths | Form::Pairs) => {
            let values: Vec<_> = value.split(',').map(str::to_owned).collect();
            read(form, &values).map_err(|problem| wrong(key, value, &problem))?
        }
        (value, form) => {
            read(form, &[value.to_owned()]).map_err(|problem| wrong(key, value, &problem))?
        }
    };
    Ok((key.to_owned(), value))
}

fn wrong(key: &str, value: &str, problem: &str) -> ConsoleError {
    ConsoleError::Usage(format!("{key}={value}: {problem}"))
}

fn read(form: Form, values: &[String]) -> Result<Value, String> {
    let one = values.last().map_or("", String::as_str);
    let underscored = |word: &str| Value::from(word.trim().replace('-', "_"));
    match form {
        Form::Text => Ok(one.into()),
        Form::Word => Ok(underscored(one)),
        Form::Words => {
            Ok(values.iter().flat_map(|words| words.split(',')).map(underscored).collect())
        }
        Form::Number => one.parse::<u64>().map(Value::from).map_err(|_| "is no number".to_owned()),
        Form::Bytes => {
            bytes(one).map(Value::from).ok_or_else(|| "is no size such as 512M".to_owned())
        }
        Form::Switch => {
            one.parse::<bool>().map(Value::from).map_err(|_| "is not true or false".to_owned())
        }
        Form::Paths => Ok(values.iter().cloned().map(Value::from).collect()),
        Form::Secret => match one.split_once(':') {
            Some((place @ ("env" | "file" | "credential"), name)) if !name.is_empty() => {
                Ok(Value::Object(Map::from_iter([(place.to_owned(), name.into())])))
            }
            _ => Err("say where it is: env:NAME, file:PATH or credential:NAME".to_owned()),
        },
        Form::Pairs => {
            let pairs = values.iter().map(|pair| {
                let (name, value) = pair.split_once('=').ok_or("is no NAME=VALUE")?;
                Ok((name.to_owned(), Value::from(value)))
            });
            pairs.collect::<Result<Map<_, _>, &str>>().map(Value::Object).map_err(str::to_owned)
        }
    }
}

/// `1048576`, `1024K`, `1M`.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match text.get(digits.len()..)?.to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KIB" => 10,
        "M" | "MIB" => 20,
        "G" | "GIB" => 30,
        "T" | "TIB" => 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

impl clap::FromArgMatches for SettingsOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = FIELDS.iter().filter_map(|field| {
            if field.form == Form::Switch {
                let set = matches.get_flag(field.option);
                return set.then(|| (field.key, vec!["true".to_owned()]));
            }
            let values = matches.get_many::<String>(field.option)?;
            Some((field.key, values.cloned().collect()))
        });
        Ok(Self { given: given.collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for SettingsOptions {
    fn augment_args(command: Command) -> Command {
        FIELDS.iter().fold(command, |command, field| {
            let arg = Arg::new(field.option)
                .long(field.option)
                .help(field.help)
                .help_heading(field.heading);
            command.arg(match field.form {
                Form::Switch => arg.action(ArgAction::SetTrue),
                Form::Paths | Form::Pairs => arg.action(ArgAction::Append).value_name(field.value),
                _ => arg.action(ArgAction::Set).value_name(field.value),
            })
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, FromArgMatches};
    use serde_json::json;

    use super::*;
    use evonic_domain::{DockerSettings, Settings, SshSettings, WorkplaceKind};

    fn given(arguments: &[&str]) -> Map<String, Value> {
        let command = SettingsOptions::augment_args(Command::new("add").no_binary_name(true));
        let matches = command.get_matches_from(arguments);
        let options = SettingsOptions::from_arg_matches(&matches).expect("they are taken");
        options.over(Map::new()).expect("they are sound")
    }

    #[test]
    fn options_become_settings() {
        let ssh = given(&[
            "--host",
            "h",
            "--port",
            "2222",
            "--authenticate",
            "key,keyboard-interactive",
            "--identity-file",
            "/a",
            "--identity-file",
            "/b,c",
            "--password",
            "file:/p:q",
            "--host-keys",
            "accept-new",
            "--session-folders",
        ]);
        let wanted = json!({
            "host": "h", "port": 2222, "authenticate": ["key", "keyboard_interactive"],
            "identity_files": ["/a", "/b,c"], "password": {"file": "/p:q"},
            "host_keys": "accept_new", "session_folders": true,
        });
        assert_eq!(Value::Object(ssh.clone()), wanted);
        Settings::read(WorkplaceKind::Ssh, ssh).expect("the worker takes them");
        let docker = given(&["--memory", "512M", "--env", "A=b=c", "--env", "D=", "--pids", "64"]);
        let wanted = json!({
            "memory_bytes": 512 << 20, "environment": {"A": "b=c", "D": ""}, "pids": 64,
        });
        assert_eq!(Value::Object(docker.clone()), wanted);
        Settings::read(WorkplaceKind::Docker, docker).expect("the worker takes them");
    }

    #[test]
    fn assignments_become_changes() {
        for (text, key, value) in [
            ("host=h", "host", json!("h")),
            ("host=10", "host", json!("10")),
            ("port=22", "port", json!(22)),
            ("port=", "port", Value::Null),
            ("memory=1G", "memory_bytes", json!(1 << 30)),
            ("host-keys=accept-new", "host_keys", json!("accept_new")),
            ("identity_files=/a,/b", "identity_files", json!(["/a", "/b"])),
            ("environment=A=1,B=2", "environment", json!({"A": "1", "B": "2"})),
            ("session_folders=false", "session_folders", json!(false)),
            ("colour=red", "colour", json!("red")),
        ] {
            assert_eq!(assignment(text).expect(text), (key.to_owned(), value), "{text}");
        }
        for text in ["host", "port=x", "memory=1X", "password=hunter2", "session_folders=maybe"] {
            let error = assignment(text).expect_err(text);
            assert!(matches!(error, ConsoleError::Usage(_)), "{error:?}");
        }
    }

    #[test]
    fn every_setting_has_an_option() {
        let full = SshSettings {
            port: Some(1),
            user: Some(String::new()),
            authenticate: vec![evonic_domain::SshAuth::Key],
            identity_files: vec!["/".into()],
            passphrase: Some(evonic_domain::SecretSource::Env(String::new())),
            password: Some(evonic_domain::SecretSource::Env(String::new())),
            known_hosts: Some("/".into()),
            config_file: Some("/".into()),
            jump: Some(String::new()),
            folder: Some(String::new()),
            ..SshSettings::default()
        };
        let docker = DockerSettings {
            engine: Some(String::new()),
            cert_path: Some("/".into()),
            environment: [(String::new(), String::new())].into(),
            ..DockerSettings::default()
        };
        let local = evonic_domain::LocalSettings { root: Some("/".into()), session_folders: false };
        let all = [json!(full), json!(docker), json!(local)];
        let keys = all.iter().flat_map(|settings| settings.as_object().expect("an object").keys());
        let mut keys: Vec<_> = keys.map(String::as_str).collect();
        keys.sort_unstable();
        keys.dedup();
        let mut known: Vec<_> = FIELDS.iter().map(|field| field.key).collect();
        known.sort_unstable();
        assert_eq!(known, keys);
    }
}
