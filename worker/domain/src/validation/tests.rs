//! What is refused, and by which name.

use serde_json::{Value, json};

use super::*;
use crate::NewWorkplace;

fn read(kind: WorkplaceKind, settings: Value) -> Result<Settings, SettingsError> {
    let Value::Object(settings) = settings else { panic!("{settings} is no object") };
    let settings = Settings::read(kind, settings)?;
    settings.check().map(|()| settings)
}

fn refused(kind: WorkplaceKind, settings: Value) -> SettingsError {
    let text = settings.to_string();
    match read(kind, settings) {
        Err(error) => error,
        Ok(_) => panic!("{text} is accepted"),
    }
}

#[test]
fn what_is_sound_is_accepted() {
    for (kind, settings) in [
        (WorkplaceKind::Local, json!({})),
        (WorkplaceKind::Local, json!({"root": "/srv/agents", "session_folders": true})),
        (WorkplaceKind::Ssh, json!({"host": "::1", "port": 65535})),
        (
            WorkplaceKind::Ssh,
            json!({"host": "box", "authenticate": ["key", "password"], "folder": "my work",
                   "password": {"credential": "box.password"}, "jump": "a@b:2,c"}),
        ),
        (WorkplaceKind::Docker, json!({})),
        (
            WorkplaceKind::Docker,
            json!({"engine": "tcp://[::1]:2376", "cert_path": "/etc/docker", "user": "7",
                   "environment": {"EMPTY": "", "A": "b c"}}),
        ),
    ] {
        let settings = read(kind, settings).unwrap();
        assert_eq!(settings.kind(), kind);
    }
}

#[test]
fn what_cannot_be_used_is_refused_by_name() {
    for (kind, settings, field) in [
        (WorkplaceKind::Local, json!({"root": "agents"}), "root"),
        (WorkplaceKind::Ssh, json!({}), "host"),
        (WorkplaceKind::Ssh, json!({"host": "a\nb"}), "host"),
        (WorkplaceKind::Ssh, json!({"host": "-oProxyCommand=x"}), "host"),
        (WorkplaceKind::Ssh, json!({"host": "root@box"}), "host"),
        (WorkplaceKind::Ssh, json!({"host": "h", "port": 0}), "port"),
        (WorkplaceKind::Ssh, json!({"host": "h", "user": ""}), "user"),
        (
            WorkplaceKind::Ssh,
            json!({"host": "h", "authenticate": ["key", "agent", "key"]}),
            "authenticate[2]",
        ),
        (
            WorkplaceKind::Ssh,
            json!({"host": "h", "identity_files": ["/a", "b"]}),
            "identity_files[1]",
        ),
        (WorkplaceKind::Ssh, json!({"host": "h", "password": {"file": "p"}}), "password.file"),
        (WorkplaceKind::Ssh, json!({"host": "h", "password": {"env": "a=b"}}), "password.env"),
        (
            WorkplaceKind::Ssh,
            json!({"host": "h", "passphrase": {"credential": "../x"}}),
            "passphrase.credential",
        ),
        (WorkplaceKind::Ssh, json!({"host": "h", "known_hosts": "~/.ssh/x"}), "known_hosts"),
        (WorkplaceKind::Ssh, json!({"host": "h", "jump": "a,,b"}), "jump"),
        (WorkplaceKind::Docker, json!({"image": ""}), "image"),
        (WorkplaceKind::Docker, json!({"engine": "/var/run/docker.sock"}), "engine"),
        (WorkplaceKind::Docker, json!({"engine": "unix://relative"}), "engine"),
        (WorkplaceKind::Docker, json!({"engine": "tcp://host"}), "engine"),
        (WorkplaceKind::Docker, json!({"engine": "tcp://u:p@host:1"}), "engine"),
        (WorkplaceKind::Docker, json!({"user": "0"}), "user"),
        (WorkplaceKind::Docker, json!({"user": "1000:0"}), "user"),
        (WorkplaceKind::Docker, json!({"user": "root"}), "user"),
        (WorkplaceKind::Docker, json!({"user": "+1"}), "user"),
        (WorkplaceKind::Docker, json!({"memory_bytes": 1000}), "memory_bytes"),
        (WorkplaceKind::Docker, json!({"cpu_millis": 0}), "cpu_millis"),
        (WorkplaceKind::Docker, json!({"pids": 1}), "pids"),
        (WorkplaceKind::Docker, json!({"open_files": 1}), "open_files"),
        (WorkplaceKind::Docker, json!({"tmp_bytes": 0}), "tmp_bytes"),
        (WorkplaceKind::Docker, json!({"network": "a b"}), "network"),
        (WorkplaceKind::Docker, json!({"environment": {"A=B": ""}}), "environment.A=B"),
    ] {
        let error = refused(kind, settings);
        assert_eq!(error.field, format!("settings.{field}"), "{error}");
        assert!(!error.malformed, "{error}");
    }
}

#[test]
fn what_is_of_the_wrong_form_is_refused_by_name() {
    for (kind, settings, field) in [
        (WorkplaceKind::Local, json!({"host": "h"}), "settings.host"),
        (WorkplaceKind::Ssh, json!({"host": "h", "port": 65536}), "settings.port"),
        (WorkplaceKind::Ssh, json!({"host": "h", "port": "22"}), "settings.port"),
        (WorkplaceKind::Ssh, json!({"host": "h", "host_keys": "no"}), "settings.host_keys"),
        (WorkplaceKind::Docker, json!({"environment": {"A": 1}}), "settings.environment.A"),
    ] {
        let error = refused(kind, settings);
        assert_eq!(error.field, field, "{error}");
        assert!(error.malformed, "{error}");
    }
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    for secret in [json!("hunter2"), json!({"hunter2": "x"}), json!({"file": {"hunter2": 1}})] {
        let error = refused(WorkplaceKind::Ssh, json!({"host": "h", "password": secret}));
        assert_eq!(error.field, "settings.password");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[test]
fn a_change_replaces_keys_and_null_takes_them_back() {
    let before = json!({"host": "h", "port": 22, "password": {"env": "P"}});
    let before = read(WorkplaceKind::Ssh, before).unwrap();
    let change = |change: Value| {
        let Value::Object(change) = change else { panic!("{change} is no object") };
        before.changed(change)
    };
    let after = change(json!({"port": null, "password": {"file": "/p"}, "user": null})).unwrap();
    let wanted = read(WorkplaceKind::Ssh, json!({"host": "h", "password": {"file": "/p"}}));
    assert_eq!(after, wanted.unwrap());
    assert_eq!(change(json!({})).unwrap(), before);
    for unknown in [json!({"colour": 1}), json!({"colour": null})] {
        assert_eq!(change(unknown).unwrap_err().field, "settings.colour");
    }
}

#[test]
fn a_body_has_no_other_fields() {
    let read = |body: Value| {
        serde_json::from_value::<NewWorkplace>(body).map_err(|error| error.to_string())
    };
    let new = read(json!({"name": "box", "kind": "docker"})).unwrap();
    assert_eq!(new.settings, Settings::Docker(DockerSettings::default()));
    let error = read(json!({"name": "box", "kind": "docker", "colour": 1})).unwrap_err();
    assert!(error.contains("colour"), "{error}");
}
