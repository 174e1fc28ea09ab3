#![expect(clippy::disallowed_methods, reason = "OpenSSH's own tools, run by a test")]

use std::process::Command;

use proptest::prelude::*;

use super::*;

fn read(folder: &Path, text: &str, host: &str) -> Result<HostConfig, WorkplaceError> {
    let file = folder.join("config");
    std::fs::write(&file, text).unwrap();
    HostConfig::read(&file, host, Path::new("/home/service"), true)
}

fn value(said: &Option<Value>) -> Option<&str> {
    said.as_ref().map(|said| said.value.as_str())
}

#[test]
fn the_first_value_counts_and_key_files_add_up() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("more")).unwrap();
    std::fs::write(folder.path().join("more/b.conf"), "User second\nIdentityFile ~/b\n").unwrap();
    std::fs::write(folder.path().join("more/a.conf"), "Host other\nUser no\n").unwrap();
    let text = format!(
        "# a comment\nHost box !no *.in\n  HostName = \"h.example\"\n\tPort=2222\nIgnoreUnknown Un*\nUnknown x y\n\
         Include \"{0}/more/*.conf\" {0}/absent\nIdentityFile ~/a # and a comment\n\
         Host *\nUser late\nPort 1\nProxyJump \"me@j:1,k\"\nConnectTimeout 1m30s\nMatch all\n\
         UserKnownHostsFile ~/one '/t w o'\nStrictHostKeyChecking accept-new\n",
        folder.path().display()
    );
    let found = read(folder.path(), &text, "box").unwrap();
    assert_eq!(value(&found.host_name), Some("h.example"));
    assert_eq!((found.port, value(&found.user)), (Some(2222), Some("second")));
    let keys: Vec<_> = found.identity_files.iter().map(|said| said.value.as_str()).collect();
    assert_eq!(keys, ["~/b", "~/a"]);
    assert_eq!(found.proxy.unwrap().jumps().unwrap().value, "me@j:1,k");
    assert_eq!(found.connect_timeout, Some(Duration::from_secs(90)));
    assert_eq!(found.known_hosts.unwrap()[1].value, "/t w o");
    assert_eq!(value(&found.strict), Some("accept-new"));

    let found = read(folder.path(), &text, "no").unwrap();
    assert_eq!((value(&found.user), found.port), (Some("late"), Some(1)));
}

#[test]
fn faults_are_told_with_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let itself = folder.path().join("config");
    for (text, line, why) in [
        ("\nMatch host box\n", 2, "Match is not supported"),
        ("Port many\n", 1, "1 to 65535"),
        ("Port 0\n", 1, "1 to 65535"),
        ("Host *\nUser \"me\n", 2, "quote"),
        ("User a b\n", 1, "one value"),
        ("ConnectTimeout soon\n", 1, "is a time"),
        ("\n\nBindAddress 10.0.0.1\n", 3, "bindaddress is not supported"),
        ("CanonicalizeHostname always\n", 1, "HostName"),
        ("RevokedHostKeys /revoked\n", 1, "@revoked"),
        ("KnownHostsCommand /bin/keys\n", 1, "UserKnownHostsFile"),
        ("PKCS11Provider /lib/x.so\n", 1, "ssh-add -s"),
        ("ProxyComand x\n", 1, "is no keyword"),
        ("AddressFamily 4\n", 1, "inet6"),
        ("IdentitiesOnly perhaps\n", 1, "neither yes nor no"),
        (&format!("Include {}\n", itself.display()), 1, "too many Includes"),
    ] {
        let error = read(folder.path(), text, "box").unwrap_err().to_string();
        let location = format!("{}:{line}: ", itself.display());
        assert!(error.starts_with(&location) && error.contains(why), "{text}: {error}");
    }
    // What does not count is not judged.
    read(folder.path(), "Host other\nPort many\n", "box").unwrap();
    let absent = folder.path().join("absent");
    assert_eq!(
        HostConfig::read(&absent, "box", Path::new("/"), false).unwrap(),
        HostConfig::default()
    );
    HostConfig::read(&absent, "box", Path::new("/"), true).unwrap_err();
}

#[test]
fn comments_of_any_bytes_and_folders_that_are_included_say_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("more/folder")).unwrap();
    std::fs::write(folder.path().join("more/10-a"), "Port 2222\n").unwrap();
    let file = folder.path().join("config");
    let more = folder.path().join("more").display().to_string();
    let text =
        format!("# caf\u{e9}\nInclude {more}/* {more}/folder {more}/[0-9]*\nUser me # \u{e9}\n");
    // In Latin-1, as an old editor wrote it.
    std::fs::write(&file, text.chars().map(|c| u8::try_from(c).unwrap()).collect::<Vec<_>>())
        .unwrap();
    let found = HostConfig::read(&file, "box", Path::new("/home/service"), true).unwrap();
    assert_eq!((found.port, value(&found.user)), (Some(2222), Some("me")));
    assert_eq!(oracle(&file, "box").iter().find(|(key, _)| key == "port").unwrap().1, "2222");

    std::fs::write(&file, b"User caf\xe9\n").unwrap();
    let error = HostConfig::read(&file, "box", Path::new("/"), true).unwrap_err().to_string();
    assert!(error.ends_with("config:1: is no UTF-8"), "{error}");
}

/// Whatever OpenSSH knows is followed, or judged.
#[test]
fn every_keyword_of_openssh_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config");
    std::fs::write(&file, "").unwrap();
    for (keyword, said) in oracle(&file, "box") {
        let text = format!("{keyword} {said}\n");
        match read(folder.path(), &text, "box") {
            Ok(_) => {}
            Err(error) => {
                let error = error.to_string();
                assert!(!error.contains("is no keyword"), "{text}: {error}");
            }
        }
    }
}

/// What OpenSSH itself makes of a file.
fn oracle(file: &Path, host: &str) -> Vec<(String, String)> {
    let output = Command::new("ssh").arg("-G").arg("-F").arg(file).arg(host).output().unwrap();
    assert!(output.status.success(), "{output:?} {}", std::fs::read_to_string(file).unwrap());
    let text = String::from_utf8(output.stdout).unwrap();
    let pair = |line: &str| {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        (key.to_owned(), value.to_owned())
    };
    text.lines().map(pair).collect()
}

fn assert_same(folder: &Path, text: &str, host: &str) {
    let found = read(folder, text, host).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let oracle = oracle(&folder.join("config"), host);
    let all = |key: &str| -> Vec<&str> {
        oracle.iter().filter(|(k, _)| k == key).map(|(_, value)| value.as_str()).collect()
    };
    let same = |key: &str, ours: Option<String>| {
        if let Some(ours) = ours {
            assert_eq!(all(key), [ours.as_str()], "{key} of {host}:\n{text}");
        }
    };
    same("hostname", Some(value(&found.host_name).unwrap_or(host).to_owned()));
    same("port", Some(found.port.unwrap_or(22).to_string()));
    same("user", found.user.map(|said| said.value));
    let none: [&str; 0] = [];
    match found.proxy {
        Some(Proxy::Jump(jump)) if jump.value != "none" => same("proxyjump", Some(jump.value)),
        Some(Proxy::Command(command)) => same("proxycommand", Some(command.value)),
        _ => assert_eq!(
            (all("proxyjump"), all("proxycommand").contains(&"nc a 1")),
            (none.into(), false),
            "{text}"
        ),
    }
    let yes = |flag: Option<bool>| flag.map(|flag| if flag { "yes" } else { "no" }.to_owned());
    let truth = |flag: Option<bool>| flag.map(|flag| flag.to_string());
    same("identitiesonly", yes(found.identities_only));
    same("pubkeyauthentication", truth(found.pubkey));
    same("passwordauthentication", yes(found.password));
    same("preferredauthentications", found.preferred.map(|said| said.value));
    same(
        "addressfamily",
        found.address_family.map(|family| {
            match family {
                AddressFamily::Any => "any",
                AddressFamily::V4 => "inet",
                AddressFamily::V6 => "inet6",
            }
            .to_owned()
        }),
    );
    let certificates: Vec<_> = found.certificate_files.iter().map(|said| &said.value[..]).collect();
    assert_eq!(all("certificatefile"), certificates, "{text}");
    match found.host_key_alias {
        Some(alias) => same("hostkeyalias", Some(alias.value)),
        None => assert_eq!(all("hostkeyalias"), [""; 0], "{text}"),
    }
    same("connecttimeout", found.connect_timeout.map(|time| time.as_secs().to_string()));
    let keys: Vec<_> = found.identity_files.iter().map(|said| said.value.as_str()).collect();
    if !keys.is_empty() {
        assert_eq!(all("identityfile"), keys, "{text}");
    }
    let files = found
        .known_hosts
        .map(|files| files.iter().map(|said| said.value.as_str()).collect::<Vec<_>>().join(" "));
    same("userknownhostsfile", files);
}

fn lines() -> impl Strategy<Value = String> {
    let pattern = prop::sample::select(vec!["box", "b*", "?ox", "*", "!box", "!*.x", "a.x", "*.x"]);
    let host =
        prop::collection::vec(pattern, 1..4).prop_map(|all| format!("Host {}", all.join(" ")));
    let value = prop::sample::select(vec![
        "HostName one.example",
        "hostname=two.example",
        "HOSTNAME = \"three.example\"",
        "User me",
        "User \"you\" # who",
        "Port 2222",
        "Port = 23",
        "IdentityFile ~/a",
        "IdentityFile '/b c'",
        "IdentityFile ~/a",
        "ProxyJump j1,me@j2:24",
        "ProxyJump none",
        "ProxyCommand nc a 1",
        "ProxyCommand none",
        "IdentitiesOnly yes",
        "IdentitiesOnly = no",
        "CertificateFile ~/a-cert.pub",
        "AddressFamily inet6",
        "addressfamily any",
        "PreferredAuthentications password,publickey",
        "PubkeyAuthentication no",
        "PasswordAuthentication no",
        "CanonicalizeHostname no",
        "IgnoreUnknown Use*,x",
        "HostKeyAlias alias",
        "ConnectTimeout 7",
        "ConnectTimeout 1m",
        "UserKnownHostsFile /one /two",
        "StrictHostKeyChecking accept-new",
        "Compression yes",
        "Match all",
        "# Port 9",
        "",
    ]);
    let value = value.prop_map(str::to_owned);
    prop::collection::vec(prop_oneof![1 => host, 3 => value], 0..24).prop_map(|all| all.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]
    #[test]
    fn a_file_means_what_openssh_says(text in lines(), host in prop::sample::select(vec!["box", "a.x", "c"])) {
        let folder = tempfile::tempdir().unwrap();
        assert_same(folder.path(), &text, host);
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[A-Za-z \"'\\\\=#*!?~\n/é]{0,200}") {
        let mut reading = Reading::new("box", Path::new("/nowhere"));
        let _read = reading.text(Path::new("/f"), text.as_bytes(), true, DEPTH);
    }
}
