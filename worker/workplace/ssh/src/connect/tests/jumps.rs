//! The way over other hosts.

use super::*;

#[test]
fn a_target_behind_two_hosts_is_reached_and_all_is_given_back() {
    let (first, second, last) = (Sshd::start(), Sshd::start(), Sshd::start());
    let accounts = [&first, &second, &last].map(|sshd| sshd.account("/bin/sh", "home"));
    let fixture = Fixture::new();
    let mut way = target(&last, &accounts[2]);
    way.jumps = vec![target(&first, &accounts[0]), target(&second, &accounts[1])];
    for _ in 0..5 {
        let connection = fixture.connect(&way).unwrap_or_else(|error| panic!("{}", chain(&error)));
        assert_eq!(fixture.used(), (3, 5));
        assert_eq!(whoami(&connection), accounts[2].name);
        drop(connection);
        assert_eq!(fixture.used(), (0, 0));
    }

    // Each host is judged by itself, and named.
    way.jumps[1].known_hosts = vec![first.folder().join("none")];
    let text = chain(&fixture.refused(&way));
    let named = format!("{}@127.0.0.1:{}", accounts[1].name, second.port());
    assert!(text.starts_with(&named) && text.contains("host key"), "{text}");
    assert_eq!(fixture.used(), (0, 0));
}

#[test]
fn much_goes_over_a_jump_host_both_ways() {
    use std::io::{Read, Write};
    let (first, last) = (Sshd::start(), Sshd::start());
    let accounts = [&first, &last].map(|sshd| sshd.account("/bin/sh", "home"));
    let fixture = Fixture::new();
    let mut way = target(&last, &accounts[1]);
    way.jumps = vec![target(&first, &accounts[0])];
    let connection = fixture.connect(&way).unwrap();
    let mut channel = connection.session.channel_session().unwrap();
    channel.exec("wc -c; head -c 20000000 /dev/zero").unwrap();
    let block = vec![7; 1 << 20];
    for _ in 0..16 {
        channel.write_all(&block).unwrap();
    }
    channel.send_eof().unwrap();
    let mut said = Vec::new();
    channel.read_to_end(&mut said).unwrap();
    assert!(said.starts_with(b"16777216\n"), "{:?}", &said[..20.min(said.len())]);
    assert_eq!(said.len(), 20_000_009);
}

#[test]
fn a_jump_host_that_is_cut_ends_the_way() {
    use std::io::Read;
    let (first, last) = (Sshd::start(), Sshd::start());
    let accounts = [&first, &last].map(|sshd| sshd.account("/bin/sh", "home"));
    let fixture = Fixture::new();
    let mut way = target(&last, &accounts[1]);
    way.jumps = vec![target(&first, &accounts[0])];
    let connection = fixture.connect(&way).unwrap();
    let mut channel = connection.session.channel_session().unwrap();
    channel.exec("cat").unwrap();
    assert!(first.cut() > 0);
    assert!(channel.read(&mut [0; 8]).is_err());
    connection.session.set_blocking(false);
    drop(channel);
    drop(connection);
    assert_eq!(fixture.used(), (0, 0));
}

#[test]
fn a_jump_host_that_forbids_it_says_so() {
    let (first, last) = (Sshd::with("AllowTcpForwarding no"), Sshd::start());
    let accounts = [&first, &last].map(|sshd| sshd.account("/bin/sh", "home"));
    let fixture = Fixture::new();
    let mut way = target(&last, &accounts[1]);
    way.jumps = vec![target(&first, &accounts[0])];
    let error = fixture.refused(&way);
    assert_eq!(error.class(), Class::Permanent);
    assert!(chain(&error).contains("AllowTcpForwarding"), "{}", chain(&error));
    assert_eq!(fixture.used(), (0, 0));
}
