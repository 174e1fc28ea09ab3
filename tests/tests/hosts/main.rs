//! SSH hosts as operators have them: servers that hang, refuse, print, and let little be done at a
//! time.

mod accounts;
mod configuration;
mod handles;
mod hanging;
mod sessions;
mod shells;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use evonic_parts::{Account, Sshd};
use evonic_tests::testbed::{Ran, Testbed, ssh_settings};
use serde_json::Value;
use tempfile::TempDir;

/// A program in a folder that every user reads.
fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("a mode");
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
    path
}

/// A server whose every session runs this script (`ForceCommand`); the script may be changed.
fn forced(text: &str) -> (Sshd, TempDir) {
    let folder = TempDir::new().expect("a folder");
    let path = script(folder.path(), "forced", text);
    (Sshd::with(&format!("ForceCommand {}", path.display())), folder)
}

/// What a session asked for, done as without `ForceCommand`.
const AS_ASKED: &str = "case $SSH_ORIGINAL_COMMAND in *sftp*) exec /usr/lib/openssh/sftp-server ;; \
                        esac\nexec \"$SHELL\" -c \"$SSH_ORIGINAL_COMMAND\"";

/// Adds a workplace and its agent.
fn add(testbed: &Testbed, name: &str, server: &Sshd, account: &Account) -> Value {
    let settings = ssh_settings(server, account);
    testbed.workplace(name, "ssh", &settings);
    settings
}

/// The message of the only step, which failed.
fn refusal(ran: &Ran) -> String {
    let (outcome, message) = ran.results().remove(0);
    assert_eq!(outcome, "error", "{message}");
    message
}

/// `evonic workplace check`: whether all is well, and what it prints.
fn check(testbed: &Testbed, name: &str) -> (bool, String) {
    let output = testbed.pair.evonic(&["workplace", "check", name]);
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}
