//! Settings of workplaces as options and as `KEY=VALUE`, both made from the schema of the settings.

mod fields;
mod values;

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Map, Value};

use fields::{FIELDS, Field, Form};
use values::parse;

use crate::console::error::{ConsoleError, Result};

/// Settings that were given as options.
#[derive(Clone, Debug, Default)]
pub(in crate::console) struct SettingsOptions {
    given: Vec<(&'static Field, Vec<String>)>,
}

impl SettingsOptions {
    /// Applies them to the settings of `--settings`.
    ///
    /// # Errors
    /// [`ConsoleError::Usage`] that names the option.
    pub(in crate::console) fn apply_to(
        &self,
        mut settings: Map<String, Value>,
    ) -> Result<Map<String, Value>> {
        for (field, values) in &self.given {
            let value = parse(field.form, values).map_err(|problem| {
                ConsoleError::Usage(format!("--{} {}: {problem}", field.option, values.join(" ")))
            })?;
            settings.insert(field.key.clone(), value);
        }
        Ok(settings)
    }
}

/// A `KEY=VALUE`; without a value the setting goes back to its default.
///
/// # Errors
/// [`ConsoleError::Usage`] that names the key.
pub(in crate::console) fn assignment(text: &str) -> Result<(String, Value)> {
    let Some((key, value)) = text.split_once('=') else {
        return Err(ConsoleError::Usage(format!("{text:?} is no KEY=VALUE")));
    };
    let known = FIELDS.iter().find(|field| field.key == key || field.option == key);
    let (key, form) = known.map_or((key, Form::Text), |field| (&field.key, field.form));
    let values: Vec<_> = match form {
        Form::Choices | Form::Paths | Form::Pairs => value.split(',').map(str::to_owned).collect(),
        _ => vec![value.to_owned()],
    };
    let invalid = |problem| ConsoleError::Usage(format!("{key}={value}: {problem}"));
    let value =
        if value.is_empty() { Value::Null } else { parse(form, &values).map_err(invalid)? };
    Ok((key.to_owned(), value))
}

/// A setting's value in one line: a secret as `file:/path`, a list with commas.
pub(in crate::console) fn text(key: &str, value: &Value) -> String {
    let separator = match FIELDS.iter().find(|field| field.key == key) {
        Some(Field { form: Form::Secret, .. }) => ':',
        _ => '=',
    };
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => {
            values.iter().map(|value| text(key, value)).collect::<Vec<_>>().join(", ")
        }
        Value::Object(parts) => {
            let parts = parts.iter();
            let parts = parts.map(|(name, value)| format!("{name}{separator}{}", text(key, value)));
            parts.collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

impl clap::FromArgMatches for SettingsOptions {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = FIELDS.iter().filter_map(|field| {
            if field.form == Form::Switch {
                let set = matches.get_flag(&field.option);
                return set.then(|| (field, vec!["true".to_owned()]));
            }
            let values = matches.get_many::<String>(&field.option)?;
            Some((field, values.cloned().collect()))
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
            let arg = Arg::new(field.option.as_str())
                .long(field.option.as_str())
                .help(field.help.as_str())
                .help_heading(field.heading.as_str());
            command.arg(match field.form {
                Form::Switch => arg.action(ArgAction::SetTrue),
                Form::Paths | Form::Pairs => {
                    arg.action(ArgAction::Append).value_name(field.value.as_str())
                }
                _ => arg.action(ArgAction::Set).value_name(field.value.as_str()),
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
        options.apply_to(Map::new()).expect("they are sound")
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
            ("sandbox=namespaces", "sandbox", json!("namespaces")),
            ("sandbox=", "sandbox", Value::Null),
            ("network=none", "network", json!("none")),
            ("network=of-containers", "network", json!("of-containers")),
            ("password=env:PASSWORD", "password", json!({"env": "PASSWORD"})),
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
    fn values_are_shown_as_they_are_written() {
        for (key, value, shown) in [
            ("host", json!("h"), "h"),
            ("port", json!(22), "22"),
            ("authenticate", json!(["key", "password"]), "key, password"),
            ("password", json!({"file": "/p"}), "file:/p"),
            ("environment", json!({"env": "x", "B": ""}), "env=x, B="),
        ] {
            assert_eq!(text(key, &value), shown, "{key}");
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
        let local = evonic_domain::LocalSettings {
            root: Some("/".into()),
            sandbox: Some(evonic_domain::CommandSandbox::None),
            network: Some(evonic_domain::CommandNetwork::None),
            ..evonic_domain::LocalSettings::default()
        };
        let all = [json!(full), json!(docker), json!(local)];
        let keys = all.iter().flat_map(|settings| settings.as_object().expect("an object").keys());
        let mut keys: Vec<_> = keys.map(String::as_str).collect();
        keys.sort_unstable();
        keys.dedup();
        let mut known: Vec<_> = FIELDS.iter().map(|field| field.key.as_str()).collect();
        known.sort_unstable();
        assert_eq!(known, keys);
    }
}
