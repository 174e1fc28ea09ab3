use super::*;

fn refused(text: &str) -> String {
    let policy = Policy::new(&[]);
    let refused = parse(text).and_then(|url| {
        let peer = policy.judge(&url)?;
        let ip = peer.host.parse::<IpAddr>().unwrap_or_else(|_| panic!("{text} is a name"));
        policy.judge_addresses(&peer, &[SocketAddr::new(ip, peer.port)])
    });
    refused.expect_err(text).to_string()
}

#[test]
fn an_address_is_judged_in_whatever_way_it_is_written() {
    for text in [
        "http://127.0.0.1/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://127.0.0.1./",
        "http://１２７.0.0.1/",
        "http://127。0。0。1/",
        "http://%31%32%37.0.0.1/",
        "http:\\\\127.0.0.1\\",
        "http://[::1]/",
        "http://[::ffff:7f00:1]/",
        "http://[0:0:0:0:0:ffff:127.0.0.1]:8080/",
    ] {
        assert!(refused(text).contains("loopback"), "{text}: {}", refused(text));
    }
    for text in [
        "http://169.254.169.254/latest/meta-data",
        "http://169.254.169.254./",
        "http://2852039166/",
        "http://0251.0376.0251.0376/",
        "http://0xa9.0xfe.0xa9.0xfe/",
        "http://169.254.43518/",
        "http://[::ffff:169.254.169.254]/",
        "http://[::169.254.169.254]/",
        "http://[64:ff9b::169.254.169.254]/",
        "http://[2002:a9fe:a9fe::]/",
        "http://[fd00:ec2::254]/",
        "http://168.63.129.16/",
    ] {
        assert!(refused(text).contains("metadata"), "{text}: {}", refused(text));
    }
    for (text, what) in [
        ("http://0/", "this network"),
        ("http://0.255.255.255/", "this network"),
        ("http://100.64.0.1/", "a provider's customers"),
        ("http://0144.0100.1/", "a provider's customers"),
        ("http://100.127.255.254./", "a provider's customers"),
        ("http://[64:ff9b::10.0.0.1]/", "private"),
        ("http://[64:ff9b:1::8.8.8.8]/", "translator"),
        ("http://[2002:c0a8:1::1]/", "private"),
        ("http://[fe80::1]/", "link-local"),
        ("http://[ff02::1]/", "multicast"),
    ] {
        assert!(refused(text).contains(what), "{text}: {}", refused(text));
    }
}

#[test]
fn other_forms_are_refused_without_their_secrets() {
    for (text, words) in [
        ("ftp://example.org/x?key=secret", "neither http nor https"),
        ("file:///etc/passwd", "neither http nor https"),
        ("data:text/plain,secret", "neither http nor https"),
        ("http://user:secret@example.org/", "user or password"),
        ("http://8.8.8.8:25/", "port 25"),
        ("http://8.8.8.8:0/", "port 0"),
        ("http://[fe80::1%25eth0]/", "is no address"),
        ("http://[fe80::1%eth0]/", "is no address"),
        ("http://127.0.0.1../", "an empty part"),
        ("http://4294967296/", "is no address"),
        ("http://127.0.0.09/", "is no address"),
        ("http://a b/?secret", "is no address"),
        ("/etc/passwd", "is no address"),
        ("http://", "is no address"),
        ("http://exa$mple.org/", "characters that no name has"),
        ("http://example..org../", "an empty part"),
    ] {
        let error = refused(text);
        assert!(error.contains(words), "{text}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
    assert!(parse(&format!("http://example.org/{}", "a".repeat(9_000))).is_err());
}

#[test]
fn names_are_ascii_and_without_their_final_dot() {
    for (text, host) in [
        ("http://Example.ORG./a", "example.org"),
        ("https://bücher.example/", "xn--bcher-kva.example"),
        ("http://[2606:4700::1111]/", "2606:4700::1111"),
    ] {
        assert_eq!(host_of(&parse(text).unwrap()), host);
    }
}

#[test]
fn one_address_that_may_not_be_asked_refuses_the_host() {
    let peer = Peer { host: "files.example".to_owned(), port: 443 };
    let addresses =
        |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
    let mixed = addresses(&["8.8.8.8:443", "10.0.0.7:443"]);
    let judge = |allow: &[&str], addresses: &[SocketAddr]| {
        let allow: Vec<_> = allow.iter().map(|text| text.parse().unwrap()).collect();
        Policy::new(&allow).judge_addresses(&peer, addresses)
    };
    let error = judge(&[], &mixed).unwrap_err().to_string();
    assert!(error.contains("10.0.0.7 is private"), "{error}");
    assert!(judge(&[], &mixed[..1]).is_ok());
    assert!(judge(&["10.0.0.0/8"], &mixed).is_ok());
    assert!(judge(&["Files.example"], &mixed).is_ok());
    assert!(judge(&["example", "10.0.0.8"], &mixed).is_err());
    assert!(judge(&["10.0.0.0/8"], &addresses(&["[::ffff:10.0.0.7]:443"])).is_ok());
}

#[test]
fn a_redirect_is_judged_as_an_address() {
    let from = parse("https://example.org/a/b?c").unwrap();
    assert_eq!(redirected(&from, "../d").unwrap().as_str(), "https://example.org/d");
    assert_eq!(redirected(&from, "//other.org").unwrap().as_str(), "https://other.org/");
    for (location, words) in [
        ("http://example.org/", "from https to http"),
        ("file:///etc/passwd", "neither"),
        ("https://u:p@example.org/", "user or password"),
        ("http://[", "is no address"),
    ] {
        let error = redirected(&from, location).unwrap_err().to_string();
        assert!(error.contains(words), "{location}: {error}");
    }
}
