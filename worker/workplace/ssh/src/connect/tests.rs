#![expect(clippy::disallowed_methods, reason = "OpenSSH's own tools, run by a test")]

use std::{path::PathBuf, process::Command};

use evonic_parts::{Account, Sshd};
use evonic_shared::{config::Config, error_chain::ErrorChain, kind::Kind};

use super::*;
use evonic_backend::Class;
use evonic_domain::{HostKeys, SecretSource, SshAuth};
use evonic_handles::{Budget, Page};

mod counts;
mod jumps;
mod ways;

/// A budget and settings with short timeouts.
pub(in super::super) struct Fixture {
    pub(in super::super) budget: Budget,
    pub(in super::super) settings: config::Ssh,
}

impl Fixture {
    pub(in super::super) fn new() -> Self {
        let mut config = Config::resolve(None, &config::Environment::default()).unwrap().config;
        config.ssh.connect_timeout = Duration::from_secs(20);
        let budget = Budget::new(&config.budget, Page::private().unwrap(), 1 << 20);
        Self { budget, settings: config.ssh.clone() }
    }

    pub(in super::super) fn connect(
        &self,
        target: &Target,
    ) -> Result<AuthenticatedSession, WorkplaceError> {
        let permits = (0..=target.jumps.len())
            .map(|_| self.budget.try_acquire(Kind::Ssh).expect("a permit"))
            .collect();
        connect(target, &self.settings, permits, &mut ())
    }

    pub(super) fn refused(&self, target: &Target) -> WorkplaceError {
        match self.connect(target) {
            Ok(_) => panic!("{target} let us in"),
            Err(error) => error,
        }
    }

    /// Permits and descriptors that are in use.
    pub(in super::super) fn used(&self) -> (u32, u32) {
        let usage = self.budget.usage();
        let ssh = usage.iter().find(|usage| usage.kind == Kind::Ssh).unwrap();
        (ssh.permits, ssh.descriptors)
    }
}

pub(in super::super) fn target(sshd: &Sshd, account: &Account) -> Target {
    Target {
        identity_files: vec![account.key.clone()],
        known_hosts: vec![sshd.known_hosts()],
        ..Target::bare("127.0.0.1", sshd.port(), &account.name)
    }
}

/// A file of its own with a secret.
pub(super) fn secret(sshd: &Sshd, name: &str, text: &str) -> Option<SecretSource> {
    let path = sshd.folder().join(name);
    std::fs::write(&path, text).unwrap();
    Some(SecretSource::File(path))
}

pub(super) fn chain(error: &WorkplaceError) -> String {
    ErrorChain(error).to_string()
}

/// What a command over the connection says.
pub(super) fn whoami(connection: &AuthenticatedSession) -> String {
    use std::io::Read;
    let mut channel = connection.session.channel_session().unwrap();
    channel.exec("id -un").unwrap();
    let mut text = String::new();
    channel.read_to_string(&mut text).unwrap();
    channel.wait_close().unwrap();
    text.trim().to_owned()
}

#[test]
fn a_known_host_lets_us_in_by_key_and_all_is_given_back() {
    let sshd = Sshd::start();
    let account = sshd.account("/bin/sh", "home");
    let fixture = Fixture::new();
    let connection = fixture.connect(&target(&sshd, &account)).unwrap();
    assert_eq!(fixture.used(), (1, 1));
    assert_eq!(whoami(&connection), account.name);
    drop(connection);
    assert_eq!(fixture.used(), (0, 0));
}

#[test]
fn a_host_that_is_not_known_is_refused_with_the_command_that_helps() {
    let sshd = Sshd::start();
    let account = sshd.account("/bin/sh", "home");
    let fixture = Fixture::new();
    let mut target = target(&sshd, &account);
    let file = sshd.folder().join("other_hosts");
    target.known_hosts = vec![file.clone()];
    let error = fixture.refused(&target);
    assert_eq!(error.class(), Class::Permanent);
    let text = chain(&error);
    let command = format!("ssh-keyscan -p {} 127.0.0.1 >> {}", sshd.port(), file.display());
    assert!(text.contains("is not known") && text.contains(&command), "{text}");

    // What it advises works.
    let status = Command::new("sh").arg("-c").arg(&command).status().unwrap();
    assert!(status.success());
    drop(fixture.connect(&target).unwrap());
}

#[test]
fn a_new_key_is_taken_down_where_that_is_wanted_and_a_changed_one_is_refused_always() {
    let mut sshd = Sshd::start();
    let account = sshd.account("/bin/sh", "home");
    let fixture = Fixture::new();
    let mut target = target(&sshd, &account);
    let file = sshd.folder().join("made/known_hosts");
    target.known_hosts = vec![file.clone()];
    target.host_keys = HostKeys::AcceptNew;
    drop(fixture.connect(&target).unwrap());
    target.host_keys = HostKeys::Strict;
    drop(fixture.connect(&target).unwrap());
    let before = std::fs::read_to_string(&file).unwrap();
    assert_eq!(before.lines().count(), 1, "{before}");

    let fingerprint = |sshd: &Sshd| {
        let key = sshd.folder().join("host-ed25519.pub");
        let output = Command::new("ssh-keygen").arg("-lf").arg(key).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.split(' ').nth(1).unwrap().to_owned()
    };
    let old = fingerprint(&sshd);
    sshd.change_keys();
    let new = fingerprint(&sshd);
    for host_keys in [HostKeys::Strict, HostKeys::AcceptNew] {
        target.host_keys = host_keys;
        let error = fixture.refused(&target);
        assert_eq!(error.class(), Class::Permanent);
        let text = chain(&error);
        let place = format!("{}:1", file.display());
        for part in [old.as_str(), new.as_str(), place.as_str(), "ssh-keygen -R"] {
            assert!(text.contains(part), "{part} is missing: {text}");
        }
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before);
}

/// Known by one kind of key only: that kind is asked for, whichever it is.
#[test]
fn a_host_known_by_one_kind_of_key_shows_that() {
    let sshd = Sshd::start();
    let account = sshd.account("/bin/sh", "home");
    let fixture = Fixture::new();
    let all = std::fs::read_to_string(sshd.known_hosts()).unwrap();
    for line in all.lines() {
        let file: PathBuf = sshd.folder().join("one");
        std::fs::write(&file, line).unwrap();
        let mut target = target(&sshd, &account);
        target.known_hosts = vec![file];
        drop(fixture.connect(&target).unwrap_or_else(|error| panic!("{line}: {}", chain(&error))));
    }
}
