//! The remote home is what the remote host says; permanent errors are reported once and cost
//! nothing.

use std::{fs, net::TcpListener, os::unix::fs::MetadataExt};

use evonic_tests::{
    pair::Options,
    process, size,
    testbed::{QUICK_CLOSE, Testbed, ssh_settings},
};
use serde_json::json;

#[test]
fn files_land_in_the_remote_home() {
    let (testbed, account) = Testbed::ssh(&Options::config(QUICK_CLOSE));
    let ran = testbed.run(
        "ssh",
        "write ~/in-tilde.txt \"a\"\nwrite notes/relative.txt \"b\"\n$ pwd; echo $HOME; id -un\n\
         read ~/in-tilde.txt\nread notes/relative.txt",
    );
    assert!(ran.is_completed(), "{ran:#?}");
    let home = account.home.to_str().expect("text");
    assert_eq!(ran.output(), format!("{home}\n{home}\n{}\n", account.name));
    for (file, content) in [("in-tilde.txt", "a"), ("notes/relative.txt", "b")] {
        let path = account.home.join(file);
        assert_eq!(fs::read_to_string(&path).expect("it is in the remote home"), content);
        let owner = fs::metadata(&path).expect("it is there").uid();
        assert_eq!(owner, fs::metadata(&account.home).expect("it is there").uid());
    }
}

#[test]
fn unusual_homes_and_shells_work_or_are_refused_with_a_reason() {
    let testbed = Testbed::local(&Options::config(QUICK_CLOSE));
    let server = evonic_parts::Sshd::start();
    for (name, shell, home) in [
        ("spaces", "/bin/sh", "a home with spaces"),
        ("quotes", "/bin/bash", "it's \"quoted\" $HOME"),
        ("fish", "/usr/bin/fish", "fish"),
        ("tcsh", "/bin/tcsh", "tcsh"),
        ("zsh", "/bin/zsh", "zsh"),
    ] {
        let account = server.account(shell, home);
        testbed.workplace(name, "ssh", &ssh_settings(&server, &account));
        let ran = testbed.run(name, "write a.txt \"x\"\n$ printf %s \"$PWD|it's\"; cat a.txt");
        assert!(ran.is_completed(), "{name}: {ran:#?}");
        assert_eq!(ran.output(), format!("{}|it'sx", account.home.display()), "{name}");
    }

    let banner = server.account("/bin/bash", "banner");
    fs::write(banner.home.join(".bashrc"), "echo WELCOME\necho noise >&2\n").expect("a banner");
    testbed.workplace("banner", "ssh", &ssh_settings(&server, &banner));
    let ran = testbed.run("banner", "$ echo mine");
    assert!(ran.is_completed() && ran.output() == "mine\n", "{ran:#?}");

    let nologin = server.account("/usr/sbin/nologin", "nologin");
    testbed.workplace("nologin", "ssh", &ssh_settings(&server, &nologin));
    let ran = testbed.run("nologin", "$ echo hi");
    let (outcome, message) = ran.results().remove(0);
    assert_eq!(outcome, "error", "{message}");
    assert!(message.contains("shell"), "{message}");

    let missing = server.account("/bin/sh", "missing");
    fs::remove_dir_all(&missing.home).expect("the home is removed");
    testbed.workplace("missing", "ssh", &ssh_settings(&server, &missing));
    let ran = testbed.run("missing", "write a.txt \"x\"");
    let (outcome, message) = ran.results().remove(0);
    assert_eq!(outcome, "error", "{message}");
    assert!(message.contains("home"), "{message}");
}

#[test]
fn an_unwritable_home_is_one_clear_error() {
    let attempts = size::of("refused_attempts", 60, 1000);
    let (testbed, account) = Testbed::ssh(&Options::config(QUICK_CLOSE));
    fs::set_permissions(&account.home, std::os::unix::fs::PermissionsExt::from_mode(0o555))
        .expect("a mode");
    std::os::unix::fs::chown(&account.home, Some(0), Some(0)).expect("an owner");
    let first = testbed.run("ssh", "write denied.txt \"x\"");
    let (outcome, message) = first.results().remove(0);
    assert_eq!(outcome, "error", "{message}");
    assert!(
        message.contains("denied.txt") && message.to_lowercase().contains("permission"),
        "{message}"
    );
    let before = testbed.settled();
    attempt(&testbed, "ssh", "write denied.txt \"x\"", attempts);
    assert_eq!(testbed.settled(), before, "{:#?}", process::links(testbed.pair.worker().0));
}

#[test]
fn refused_connections_leave_no_descriptor() {
    let attempts = size::of("refused_attempts", 60, 1000);
    // Every attempt connects: nothing is waited out, and no host is left alone.
    let testbed = Testbed::local(&Options::config(
        "[ssh]\nidle_timeout = \"300ms\"\nretries = 0\nbreaker_failures = 1000\n\
         connect_timeout = \"300ms\"\n",
    ));
    let server = evonic_parts::Sshd::start();
    let account = server.account("/bin/sh", "home");
    let settings = ssh_settings(&server, &account);

    let mut stranger = settings.clone();
    let other = server.account("/bin/sh", "other");
    stranger["identity_files"] = json!([other.key]);
    testbed.workplace("stranger", "ssh", &stranger);

    let mut unknown = settings.clone();
    unknown["known_hosts"] = json!(server.folder().join("empty"));
    fs::write(server.folder().join("empty"), "").expect("an empty file");
    testbed.workplace("unknown", "ssh", &unknown);

    let mut closed = settings.clone();
    let port =
        TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    closed["port"] = json!(port);
    testbed.workplace("closed", "ssh", &closed);

    // A listener that never answers: what is connected to it hangs.
    let hole = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut black = settings;
    black["port"] = json!(hole.local_addr().expect("an address").port());
    testbed.workplace("black", "ssh", &black);

    for (agent, wanted) in
        [("stranger", "authenticat"), ("unknown", "host key"), ("closed", "connect"), ("black", "")]
    {
        let first = testbed.run(agent, "$ true");
        let (outcome, message) = first.results().remove(0);
        assert_eq!(outcome, "error", "{agent}: {message}");
        assert!(message.contains("127.0.0.1") && message.contains(wanted), "{agent}: {message}");
        let before = testbed.settled();
        let attempts = if agent == "black" { attempts.min(200) } else { attempts };
        attempt(&testbed, agent, "$ true", attempts);
        assert_eq!(
            testbed.settled(),
            before,
            "{agent}: {:#?}",
            process::links(testbed.pair.worker().0)
        );
    }
}

/// Runs a step that fails this often, in turns of at most 90 steps.
fn attempt(testbed: &Testbed, agent: &str, step: &str, attempts: u64) {
    let session = testbed.pair.session(agent);
    let mut left = attempts;
    while left > 0 {
        let steps = left.min(90);
        let runbook =
            format!("on failure continue\n{}", format!("{step}\n").repeat(steps as usize));
        let ran = testbed.run_in(&session, &runbook);
        let failed = ran.results().iter().filter(|(outcome, _)| outcome == "error").count();
        assert_eq!(failed as u64, steps, "{agent}: {:?}", ran.results().last());
        left -= steps;
    }
}

#[test]
fn a_changed_host_key_is_refused_with_both_fingerprints() {
    let (mut testbed, _account) = Testbed::ssh(&Options::config(QUICK_CLOSE));
    assert!(testbed.run("ssh", "$ true").is_completed());
    // A command that is under way when the key changes has an unknown outcome: none is.
    let _closed = testbed.settled();
    testbed.server.as_mut().expect("a server").change_keys();
    let ran = testbed.run("ssh", "$ true");
    let (outcome, message) = ran.results().remove(0);
    assert_eq!(outcome, "error", "{message}");
    assert_eq!(message.matches("SHA256:").count(), 2, "{message}");
}
