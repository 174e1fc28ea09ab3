//! Ways to authenticate.

use super::*;

#[test]
fn a_password_works_and_is_never_told() {
    let sshd = Sshd::start();
    let account = sshd.account("/bin/sh", "home");
    let fixture = Fixture::new();
    let mut target = target(&sshd, &account);
    target.authenticate = vec![SshAuth::Password];
    target.password = secret(&sshd, "password", &format!("{}\n", account.password));
    assert_eq!(whoami(&fixture.connect(&target).unwrap()), account.name);

    target.password = secret(&sshd, "wrong", "marker-4711");
    target.authenticate = vec![SshAuth::Key, SshAuth::Password, SshAuth::KeyboardInteractive];
    let key = sshd.folder().join("broken");
    std::fs::write(&key, "-----BEGIN OPENSSH PRIVATE KEY-----\nmarker-0815\n").unwrap();
    target.identity_files = vec![key, sshd.folder().join("absent")];
    let error = fixture.refused(&target);
    let text = format!("{} {error:?}", chain(&error));
    assert!(!text.contains("marker"), "{text}");
    for part in
        ["broken", "absent", "password is wrong", "keyboard_interactive", "the server allows"]
    {
        assert!(text.contains(part), "{part} is missing: {text}");
    }
}

#[test]
fn key_files_of_every_kind_work() {
    let sshd = Sshd::start();
    let account = sshd.account("/bin/sh", "home");
    let fixture = Fixture::new();
    let phrase = secret(&sshd, "phrase", "marker-12345");
    let kinds: [&[&str]; 7] = [
        &["-t", "ed25519", "-N", ""],
        &["-t", "ed25519", "-N", "marker-12345"],
        &["-t", "rsa", "-b", "2048", "-N", ""],
        &["-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "marker-12345"],
        &["-t", "ecdsa", "-b", "256", "-N", ""],
        &["-t", "ecdsa", "-b", "521", "-N", "marker-12345"],
        &["-t", "ecdsa", "-b", "384", "-m", "PEM", "-N", ""],
    ];
    let authorized = sshd.folder().join("authorized").join(&account.name);
    for (number, kind) in kinds.into_iter().enumerate() {
        let key = sshd.folder().join(format!("kind-{number}"));
        let made = Command::new("ssh-keygen").arg("-q").args(kind).arg("-f").arg(&key).status();
        assert!(made.unwrap().success());
        std::fs::copy(key.with_extension("pub"), &authorized).unwrap();
        let mut target = target(&sshd, &account);
        target.identity_files = vec![key];
        target.passphrase = phrase.clone();
        let connection = fixture.connect(&target);
        drop(connection.unwrap_or_else(|error| panic!("{kind:?}: {}", chain(&error))));
        if kind.last().is_some_and(|phrase| phrase.starts_with("marker")) {
            target.passphrase = None;
            let text = chain(&fixture.refused(&target));
            assert!(text.contains("set settings.passphrase"), "{kind:?}: {text}");
            target.passphrase = secret(&sshd, "other", "marker-other");
            let text = chain(&fixture.refused(&target));
            assert!(text.contains("cannot be decrypted"), "{kind:?}: {text}");
        }
    }
}

/// The server asks for two ways in a row.
#[test]
fn a_partial_success_goes_on() {
    let sshd = Sshd::with("AuthenticationMethods publickey,password");
    let account = sshd.account("/bin/sh", "home");
    let fixture = Fixture::new();
    let mut target = target(&sshd, &account);
    target.authenticate = vec![SshAuth::Key, SshAuth::Password];
    target.password = secret(&sshd, "password", &account.password);
    drop(fixture.connect(&target).unwrap_or_else(|error| panic!("{}", chain(&error))));

    target.authenticate = vec![SshAuth::Key];
    let error = fixture.refused(&target);
    assert_eq!(error.class(), Class::Permanent);
    let text = chain(&error);
    assert!(text.contains("more is asked for") && text.contains("allows password"), "{text}");
}

#[test]
fn too_many_tries_are_a_refusal_and_not_a_broken_link() {
    let sshd = Sshd::with("MaxAuthTries 2");
    let account = sshd.account("/bin/sh", "home");
    let mut target = target(&sshd, &account);
    target.identity_files =
        (0..4).map(|n| sshd.account("/bin/sh", &format!("other{n}")).key).collect();
    let error = Fixture::new().refused(&target);
    assert_eq!(error.class(), Class::Permanent);
    assert!(chain(&error).contains("MaxAuthTries"), "{}", chain(&error));
}

/// PAM's questions, as most servers ask for a password.
#[test]
fn questions_are_answered_with_the_password() {
    let sshd = Sshd::with("UsePAM yes\nAuthenticationMethods keyboard-interactive");
    let account = sshd.account("/bin/sh", "home");
    let fixture = Fixture::new();
    let mut target = target(&sshd, &account);
    target.authenticate = vec![SshAuth::KeyboardInteractive];
    target.password = secret(&sshd, "password", &account.password);
    let connection = fixture.connect(&target);
    drop(connection.unwrap_or_else(|error| panic!("{} {}", chain(&error), sshd.log())));

    target.password = secret(&sshd, "wrong", "marker-4711");
    let error = fixture.refused(&target);
    assert_eq!(error.class(), Class::Permanent);
    assert!(!chain(&error).contains("marker"), "{}", chain(&error));
}

#[test]
fn an_agent_signs_and_one_that_is_stuck_does_not_hold_us_up() {
    let sshd = Sshd::start();
    let account = sshd.account("/bin/sh", "home");
    let mut fixture = Fixture::new();
    let mut target = target(&sshd, &account);
    target.authenticate = vec![SshAuth::Agent];
    let socket = sshd.folder().join("agent");
    let mut agent = Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    let add = || {
        let mut add = Command::new("ssh-add");
        add.arg(&account.key).env("SSH_AUTH_SOCK", &socket).output().unwrap()
    };
    let mut last = add();
    while !last.status.success() {
        assert!(Instant::now() < deadline, "{last:?}");
        last = add();
    }
    target.agent = Some(socket);
    let connected = fixture.connect(&target).map(drop);
    agent.kill().unwrap();
    agent.wait().unwrap();
    connected.unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert_eq!(fixture.used(), (0, 0));

    let stuck = sshd.folder().join("stuck");
    let _listener = std::os::unix::net::UnixListener::bind(&stuck).unwrap();
    target.agent = Some(stuck);
    fixture.settings.connect_timeout = Duration::from_secs(1);
    let text = chain(&fixture.refused(&target));
    assert!(text.contains("does not answer"), "{text}");
    assert_eq!(fixture.used(), (0, 0));
}

/// Runs an agent with these keys while `test` does something.
fn with_agent(folder: &Path, keys: &[PathBuf], test: impl FnOnce(PathBuf)) {
    let socket = folder.join(format!("agent-{}", fastrand::u32(..)));
    let mut agent = Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    for key in keys {
        let add =
            || Command::new("ssh-add").arg("-q").arg(key).env("SSH_AUTH_SOCK", &socket).status();
        while !add().unwrap().success() {
            assert!(Instant::now() < deadline, "the agent takes {}", key.display());
        }
    }
    test(socket);
    agent.kill().unwrap();
    agent.wait().unwrap();
}

/// An agent with more keys than a server lets anybody try.
#[test]
fn the_configured_key_comes_before_the_many_of_an_agent() {
    let sshd = Sshd::start();
    let account = sshd.account("/bin/sh", "home");
    let fixture = Fixture::new();
    let others: Vec<_> = (0..8)
        .map(|number| {
            let key = sshd.folder().join(format!("many-{number}"));
            let made = Command::new("ssh-keygen").args(["-qN", "", "-f"]).arg(&key).status();
            assert!(made.unwrap().success());
            key
        })
        .collect();
    let all: Vec<_> = others.iter().cloned().chain([account.key.clone()]).collect();
    with_agent(sshd.folder(), &all, |socket| {
        let mut target = target(&sshd, &account);
        target.agent = Some(socket);
        target.authenticate = vec![SshAuth::Key, SshAuth::Agent];
        drop(fixture.connect(&target).unwrap_or_else(|error| panic!("{}", chain(&error))));

        // Only the public half is here: the agent has the other, and is asked for this one first.
        let public = sshd.folder().join("only.pub");
        std::fs::copy(account.key.with_extension("pub"), &public).unwrap();
        target.identity_files = vec![public];
        drop(fixture.connect(&target).unwrap_or_else(|error| panic!("{}", chain(&error))));
        target.identities_only = true;
        drop(fixture.connect(&target).unwrap_or_else(|error| panic!("{}", chain(&error))));

        target.identity_files = vec![others[0].clone()];
        let text = chain(&fixture.refused(&target));
        assert!(text.contains("many-0") && !text.contains("many-1"), "{text}");

        target.identities_only = false;
        let error = fixture.refused(&target);
        assert_eq!(error.class(), Class::Permanent);
        let text = chain(&error);
        assert!(text.contains("more keys of the agent were not tried"), "{text}");
        assert!(!text.contains("ended the connection"), "{text}");
    });
}

#[test]
fn an_expired_password_is_told_and_never_changed() {
    let sshd = Sshd::with("UsePAM yes\nAuthenticationMethods keyboard-interactive");
    let account = sshd.account("/bin/sh", "home");
    let expired = Command::new("chage").args(["-d", "0", &account.name]).status().unwrap();
    assert!(expired.success());
    let shadow = || {
        let shadow = std::fs::read_to_string("/etc/shadow").unwrap();
        shadow
            .lines()
            .find(|line| line.starts_with(&format!("{}:", account.name)))
            .map(str::to_owned)
    };
    let before = shadow();
    let mut target = target(&sshd, &account);
    target.authenticate = vec![SshAuth::KeyboardInteractive];
    target.password = secret(&sshd, "password", &account.password);
    let error = Fixture::new().refused(&target);
    assert_eq!(error.class(), Class::Permanent, "{}", chain(&error));
    assert!(chain(&error).contains("the password has expired"), "{}", chain(&error));
    assert_eq!(shadow(), before);
}
