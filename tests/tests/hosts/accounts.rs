//! What an account may not do, and may once it is repaired.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use evonic_parts::{Account, Sshd};
use evonic_tests::{
    pair::Options,
    testbed::{Testbed, ssh_settings},
    troubleshooting::assert_documented,
};
use serde_json::json;

use super::{AS_ASKED, add, check, forced, refusal, script};

/// Connections are kept for long: what was refused must not be remembered with them.
const KEPT: &str = "[ssh]\nidle_timeout = \"1h\"\n";

fn change(program: &str, arguments: &[&str], account: &Account) {
    let mut command = Command::new(program);
    let output = command.args(arguments).arg(&account.name).output().expect("it is installed");
    assert!(output.status.success(), "{program}: {output:?}");
}

#[test]
fn an_account_that_gets_a_shell_has_it_at_once() {
    let server = Sshd::start();
    let account = server.account("/usr/sbin/nologin", "home");
    let testbed = Testbed::local(&Options::config(KEPT));
    add(&testbed, "box", &server, &account);
    let ran = testbed.run("box", "write a.txt \"x\"\nlist .\nread a.txt");
    assert!(ran.is_completed(), "{ran:#?}");
    for _ in 0..3 {
        let message = refusal(&testbed.run("box", "$ echo hi"));
        assert_documented("the login shell runs no commands … files work", &message);
    }
    change("usermod", &["--shell", "/bin/bash"], &account);
    let ran = testbed.run("box", "$ echo hi");
    assert!(ran.is_completed() && ran.output() == "hi\n", "{ran:#?}");
}

#[test]
fn a_host_that_gets_sftp_has_it_at_once_and_files_do_not_work_before() {
    let no_sftp = "case $SSH_ORIGINAL_COMMAND in *sftp*) echo 'no files here'; exit 3 ;; esac\n\
                   exec \"$SHELL\" -c \"$SSH_ORIGINAL_COMMAND\"";
    let (server, folder) = forced(no_sftp);
    let account = server.account("/bin/bash", "home");
    let testbed = Testbed::local(&Options::config(KEPT));
    add(&testbed, "box", &server, &account);
    let ran = testbed.run("box", "$ echo hi");
    assert!(ran.is_completed() && ran.output() == "hi\n", "{ran:#?}");
    for _ in 0..2 {
        let message = refusal(&testbed.run("box", "write a.txt \"x\""));
        assert_documented("SFTP refused: … it prints: … ForceCommand", &message);
        assert!(message.contains("no files here"), "{message}");
    }
    script(folder.path(), "forced", "exit 7");
    let message = refusal(&testbed.run("box", "write a.txt \"x\""));
    assert!(!message.contains("files work"), "{message}");
    script(folder.path(), "forced", AS_ASKED);
    let ran = testbed.run("box", "write a.txt \"x\"\nread a.txt\n$ cat a.txt");
    assert!(ran.is_completed(), "{ran:#?}");
}

#[test]
fn an_expired_password_is_told_in_the_servers_words_and_once() {
    let server = Sshd::with("UsePAM yes");
    let account = server.account("/bin/bash", "home");
    change("chage", &["-d", "0"], &account);
    let testbed = Testbed::local(&Options::config(KEPT));
    add(&testbed, "box", &server, &account);
    let began = Instant::now();
    for runbook in ["$ echo hi", "read a.txt"] {
        let message = refusal(&testbed.run("box", runbook));
        assert!(message.to_lowercase().contains("password"), "{message}\n{}", server.log());
        assert!(message.contains("expired") || message.contains("Password change"), "{message}");
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    change("chage", &["-d", "2026-01-01", "-M", "99999"], &account);
    let ran = testbed.run("box", "$ echo hi");
    assert!(ran.is_completed(), "{ran:#?}");
}

#[test]
fn an_expired_account_is_refused_once_in_the_servers_words() {
    let server = Sshd::with("UsePAM yes");
    let account = server.account("/bin/bash", "home");
    change("chage", &["-E", "1"], &account);
    let testbed = Testbed::local(&Options::config(KEPT));
    add(&testbed, "box", &server, &account);
    let message = refusal(&testbed.run("box", "$ echo hi"));
    assert_documented("authenticate refused: … the server says: … expired", &message);
    let logins = server.log().matches("Access denied for user").count();
    assert_eq!(logins, 1, "no other try: {}", server.log());
    let (well, said) = check(&testbed, "box");
    assert!(!well && said.contains("expired") && !said.contains("ssh-copy-id"), "{said}");
}

#[test]
fn advice_fits_what_is_wrong_with_a_key() {
    let server = Sshd::start();
    let account = server.account("/bin/bash", "home");
    let testbed = Testbed::local(&Options::default());
    let stranger = server.account("/bin/bash", "other").key;
    let locked = server.folder().join("locked");
    keygen(&["-N", "secret phrase", "-f"], &locked);
    for (name, key, documented, copies) in [
        ("stranger", stranger, "its public half is not in authorized_keys there", true),
        ("locked", locked, "is encrypted; set settings.passphrase", false),
        ("absent", server.folder().join("absent"), "cannot be read: No such file", false),
    ] {
        let mut settings = ssh_settings(&server, &account);
        settings["identity_files"] = json!([key]);
        testbed.workplace(name, "ssh", &settings);
        let (well, said) = check(&testbed, name);
        assert!(!well, "{said}");
        assert_documented(documented, &said);
        assert_eq!(said.contains("ssh-copy-id"), copies, "{name}: {said}");
    }
}

#[test]
fn a_certificate_lets_in_and_one_that_cannot_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = folder.path().join("ca");
    keygen(&["-N", "", "-f"], &authority);
    let trust = folder.path().join("trusted.pub");
    fs::copy(folder.path().join("ca.pub"), &trust).expect("a copy");
    let server = Sshd::with(&format!("TrustedUserCAKeys {}", trust.display()));
    let account = server.account("/bin/bash", "home");
    fs::write(server.folder().join("authorized").join(&account.name), "").expect("no key");
    let testbed = Testbed::local(&Options::default());
    let sign = |key: &Path, principal: &str, span: &str| {
        let mut sign = Command::new("ssh-keygen");
        sign.args(["-q", "-s"]).arg(&authority).args(["-I", "id", "-n", principal, "-V", span]);
        let output = sign.arg(key.with_extension("pub")).output().expect("ssh-keygen");
        assert!(output.status.success(), "{output:?}");
    };
    for kind in ["ed25519", "rsa", "ecdsa"] {
        let key = server.folder().join(format!("cert-{kind}"));
        keygen(&["-N", "", "-t", kind, "-f"], &key);
        let mut settings = ssh_settings(&server, &account);
        settings["identity_files"] = json!([key]);
        sign(&key, &account.name, "-1h:+1h");
        testbed.workplace(kind, "ssh", &settings);
        let ran = testbed.run(kind, "$ echo hi");
        assert!(ran.is_completed(), "{kind}: {ran:#?} {}", server.log());
        let late = format!("{kind}-late");
        sign(&key, &account.name, "20200101:20200201");
        testbed.workplace(&late, "ssh", &settings);
        let (well, said) = check(&testbed, &late);
        // The connections of the good one are its account's: only a check logs in anew.
        assert!(!well, "{said}");
        assert_documented("the certificate expired … ago", &said);
    }
}

/// A file system in a folder. Unmounted when dropped.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _gone = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn errors_of_files_are_in_the_words_of_the_system() {
    let server = Sshd::start();
    let account = server.account("/bin/bash", "home");
    let testbed = Testbed::local(&Options::default());
    add(&testbed, "box", &server, &account);
    let missing = refusal(&testbed.run("box", "read absent.txt"));
    assert!(missing.contains("No such file or directory"), "{missing}");

    let folder = account.home.join("mounted");
    fs::create_dir(&folder).expect("a folder");
    let mount = |options: &str| {
        let mut mount = Command::new("mount");
        let output = mount.args(["-t", "tmpfs", "-o", options, "none"]).arg(&folder).output();
        let output = output.expect("mount is installed");
        assert!(output.status.success(), "{output:?}");
    };
    mount("mode=777");
    let _mounted = Mounted(folder.clone());
    let ran = testbed.run("box", "write mounted/there.txt \"x\"");
    assert!(ran.is_completed(), "{ran:#?}");
    mount("remount,ro");
    for step in [
        "write mounted/new.txt \"y\"",
        "write mounted/there.txt \"y\"",
        "copy mounted/there.txt mounted/b",
    ] {
        let message = refusal(&testbed.run("box", step));
        assert_documented("Read-only file system", &message);
        assert!(!message.contains("quota"), "{message}");
    }
}

fn keygen(arguments: &[&str], path: &Path) {
    let output = Command::new("ssh-keygen").arg("-q").args(arguments).arg(path).output();
    assert!(output.expect("ssh-keygen is installed").status.success());
}
