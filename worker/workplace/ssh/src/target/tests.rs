use super::*;

fn local(folder: &Path) -> LocalUser<'_> {
    LocalUser {
        home: folder.join("home"),
        user: "service".into(),
        agent: Some("/run/agent".into()),
        state_dir: folder,
    }
}

fn settings(host: &str) -> SshSettings {
    SshSettings { host: host.into(), ..SshSettings::default() }
}

fn complete(folder: &Path, text: &str, settings: &SshSettings) -> Result<Target> {
    let ssh = folder.join("home/.ssh");
    std::fs::create_dir_all(&ssh).unwrap();
    std::fs::write(ssh.join("config"), text).unwrap();
    Target::complete(settings, &local(folder))
}

#[test]
fn settings_come_first_then_the_file_then_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let text = "Host box\nHostName %h.example\nUser file\nPort 2222\nIdentityFile ~/%u-%r-%h-%d\n";
    let target = complete(folder.path(), text, &settings("box")).unwrap();
    assert_eq!(target.to_string(), "file@box.example:2222");
    assert_eq!(target.name, "[box.example]:2222");
    let home = folder.path().join("home");
    let key = format!("{0}/service-file-box.example-{0}", home.display());
    assert_eq!(target.identity_files, [PathBuf::from(key)]);
    assert_eq!(target.known_hosts[0], folder.path().join("known_hosts"));
    // The key that is named comes first.
    assert_eq!(target.authenticate, [SshAuth::Key, SshAuth::Agent]);
    assert_eq!(target.agent, Some("/run/agent".into()));

    let ours = SshSettings {
        user: Some("me".into()),
        port: Some(22),
        password: Some(SecretSource::Env("P".into())),
        ..settings("box")
    };
    let target = complete(folder.path(), text, &ours).unwrap();
    assert_eq!(
        (target.to_string().as_str(), target.name.as_str()),
        ("me@box.example:22", "box.example")
    );
    assert_eq!(target.authenticate.len(), 4);

    std::fs::write(home.join(".ssh/id_rsa"), "").unwrap();
    let target = complete(folder.path(), "", &settings("Box")).unwrap();
    assert_eq!((target.to_string().as_str(), target.name.as_str()), ("service@box:22", "box"));
    assert_eq!(target.authenticate, [SshAuth::Agent, SshAuth::Key]);
    assert_eq!(target.identity_files, [home.join(".ssh/id_rsa")]);
}

#[test]
fn jump_hosts_are_completed_and_never_get_the_password() {
    let folder = tempfile::tempdir().unwrap();
    let text = "Host far\nProxyJump me@one:23,two\nHost one\nHostName 10.0.0.1\nProxyJump zero\n\
                Host two\nProxyJump never\nUser deux\n";
    let ours = SshSettings {
        password: Some(SecretSource::Env("P".into())),
        authenticate: vec![SshAuth::Password],
        ..settings("far")
    };
    let target = complete(folder.path(), text, &ours).unwrap();
    let jumps: Vec<_> = target.jumps.iter().map(ToString::to_string).collect();
    assert_eq!(jumps, ["service@zero:22", "me@10.0.0.1:23", "deux@two:22"]);
    assert!(target.jumps.iter().all(|jump| jump.password.is_none() && jump.jumps.is_empty()));

    let direct = SshSettings { jump: Some("none".into()), ..ours };
    assert!(complete(folder.path(), text, &direct).unwrap().jumps.is_empty());
}

#[test]
fn what_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = |line: u32| format!("{}/home/.ssh/config:{line}: ", folder.path().display());
    let jump = |list: &str| SshSettings { jump: Some(list.into()), ..settings("box") };
    for (text, settings, location) in [
        ("", settings(""), "settings.host: ".to_owned()),
        ("", settings("a;b"), "settings.host: ".to_owned()),
        ("", settings("-oProxyCommand=x"), "settings.host: ".to_owned()),
        ("", jump("a,,b"), "settings.jump: ".to_owned()),
        ("\nHost *\nProxyJump box\n", settings("box"), file(3)),
        ("HostName %x\n", settings("box"), file(1)),
        ("IdentityFile ~other/key\n", settings("box"), file(1)),
        ("StrictHostKeyChecking no\n", settings("box"), file(1)),
        (
            "",
            SshSettings { authenticate: vec![SshAuth::Password], ..settings("box") },
            "settings.authenticate: ".to_owned(),
        ),
        (
            "",
            SshSettings { identity_files: vec!["~/.ssh/id".into()], ..settings("box") },
            "settings.identity_files[0]: ".to_owned(),
        ),
        (
            "",
            SshSettings { config_file: Some("/nowhere/config".into()), ..settings("box") },
            "settings.config_file: ".to_owned(),
        ),
    ] {
        let error = complete(folder.path(), text, &settings).unwrap_err().to_string();
        assert!(error.starts_with(&location), "{location} {error}");
    }
}

#[test]
fn a_file_may_ask_for_accept_new_but_not_for_no_check() {
    let folder = tempfile::tempdir().unwrap();
    let of = |text: &str, host_keys| {
        let settings = SshSettings { host_keys, ..settings("box") };
        complete(folder.path(), text, &settings).unwrap().host_keys
    };
    let accept = "StrictHostKeyChecking accept-new\n";
    assert_eq!(of(accept, HostKeys::Strict), HostKeys::AcceptNew);
    assert_eq!(of("StrictHostKeyChecking yes\n", HostKeys::AcceptNew), HostKeys::Strict);
    assert_eq!(of("StrictHostKeyChecking ask\n", HostKeys::Strict), HostKeys::Strict);
    assert_eq!(of("StrictHostKeyChecking no\n", HostKeys::AcceptNew), HostKeys::AcceptNew);
}

#[test]
fn the_agent_is_the_one_that_the_file_names() {
    let folder = tempfile::tempdir().unwrap();
    for (text, expected) in [
        ("IdentityAgent /other/%r\n", Some("/other/service")),
        ("IdentityAgent SSH_AUTH_SOCK\n", Some("/run/agent")),
        ("IdentityAgent none\n", None),
    ] {
        let target = complete(folder.path(), text, &settings("box")).unwrap();
        assert_eq!(target.agent, expected.map(PathBuf::from), "{text}");
    }
}

#[test]
fn addresses_are_written_as_openssh_writes_them() {
    let folder = tempfile::tempdir().unwrap();
    for (host, expected, name) in [
        ("[::1]", "::1", "[::1]:2222"),
        ("0:0:0:0:0:0:0:1", "::1", "[::1]:2222"),
        ("FE80::0:1%eth0", "fe80::1%eth0", "[fe80::1%eth0]:2222"),
        ("Box.Example", "box.example", "[box.example]:2222"),
    ] {
        let settings = SshSettings { port: Some(2222), ..settings(host) };
        let target = complete(folder.path(), "", &settings).unwrap();
        assert_eq!((target.host.as_str(), target.name.as_str()), (expected, name), "{host}");
    }
}

#[test]
fn variables_and_tokens_are_expanded_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let of = |text: &str| complete(folder.path(), text, &settings("box"));
    let home = std::env::var("HOME").unwrap();
    let target = of("IdentityFile ${HOME}/k-%i-%L\nIdentityAgent $HOME\nUser me\n").unwrap();
    let (uid, short) = (nix::unistd::getuid(), tokens::machine());
    let short = short.split('.').next().unwrap().to_owned();
    assert_eq!(target.identity_files, [PathBuf::from(format!("{home}/k-{uid}-{short}"))]);
    assert_eq!(target.agent, Some(PathBuf::from(&home)));
    let jumps = of("Host box\nProxyJump %r@%h-gate:%p\nUser me\nPort 23\n").unwrap().jumps;
    assert_eq!(jumps[0].to_string(), "me@box-gate:23");
    for text in [
        "IdentityFile ${EVONIC_NO_SUCH}/k\n",
        "IdentityFile ${HOME/k\n",
        "IdentityFile %X\n",
        "IdentityAgent $EVONIC_NO_SUCH\n",
        "User %h\n",
    ] {
        let error = of(text).unwrap_err().to_string();
        assert!(error.contains("/config:1: "), "{text}: {error}");
    }
}

#[test]
fn a_command_in_the_way_is_refused_unless_the_settings_say_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let text = "Host box far\nProxyCommand nc gate 22\nHost other\nProxyJump far\n";
    for host in ["box", "other"] {
        let error = complete(folder.path(), text, &settings(host)).unwrap_err().to_string();
        assert!(error.contains("/config:2: ProxyCommand is not supported"), "{error}");
    }
    let ours = |jump: &str| SshSettings { jump: Some(jump.into()), ..settings("box") };
    assert_eq!(complete(folder.path(), text, &ours("none")).unwrap().jumps, []);
    assert_eq!(complete(folder.path(), text, &ours("gate")).unwrap().jumps.len(), 1);
    let none = SshSettings { config_file: Some("none".into()), ..settings("box") };
    assert_eq!(complete(folder.path(), text, &none).unwrap().jumps, []);
}

#[test]
fn the_file_says_which_ways_to_authenticate_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let with_password =
        SshSettings { password: Some(SecretSource::Env("P".into())), ..settings("box") };
    let of = |text: &str| complete(folder.path(), text, &with_password).map(|t| t.authenticate);
    let preferred = "PreferredAuthentications gssapi-with-mic,password,publickey\n";
    assert_eq!(of(preferred).unwrap(), [SshAuth::Password, SshAuth::Agent, SshAuth::Key]);
    let only = "PubkeyAuthentication no\nKbdInteractiveAuthentication no\n";
    assert_eq!(of(only).unwrap(), [SshAuth::Password]);
    let error = of("PreferredAuthentications hostbased\n").unwrap_err().to_string();
    assert!(error.contains("/config:1: "), "{error}");
}
