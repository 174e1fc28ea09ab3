//! Every failure gives its descriptor and its permit back.

use std::{net::TcpListener, os::fd::AsRawFd};

use super::*;

/// Runs a connection that fails, often; returns the last error.
fn often(fixture: &Fixture, times: u32, target: &Target, expected: Class) -> String {
    // Sockets get the lowest free number: after each round that is the same one again, unless
    // something stayed open. Other tests of this process open and close theirs meanwhile, so the
    // account is exact, and numbers must only not grow.
    let first = number();
    let mut last = String::new();
    for _ in 0..times {
        let error = fixture.refused(target);
        assert_eq!(error.class(), expected, "{}", chain(&error));
        assert_eq!(fixture.used(), (0, 0));
        last = chain(&error);
    }
    assert!(number() < first + times as i32, "{first} {}", number());
    last
}

fn number() -> i32 {
    TcpListener::bind("127.0.0.1:0").unwrap().as_raw_fd()
}

#[test]
fn refused_keys_and_hosts_are_flat() {
    let sshd = Sshd::start();
    let account = sshd.account("/bin/sh", "home");
    let other = sshd.account("/bin/sh", "other");
    let fixture = Fixture::new();
    let mut wrong = target(&sshd, &account);
    wrong.identity_files = vec![other.key];
    let text = often(&fixture, 40, &wrong, Class::Permanent);
    assert!(text.contains("authenticate refused") && text.contains("authorized_keys"), "{text}");

    let mut unknown = target(&sshd, &account);
    unknown.known_hosts = vec![sshd.folder().join("none")];
    let text = often(&fixture, 40, &unknown, Class::Permanent);
    assert!(text.contains("host key refused"), "{text}");
}

#[test]
fn closed_ports_and_black_holes_are_flat() {
    let sshd = Sshd::start();
    let account = sshd.account("/bin/sh", "home");
    let mut fixture = Fixture::new();
    let mut closed = target(&sshd, &account);
    closed.port = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let text = often(&fixture, 100, &closed, Class::Transient);
    assert!(text.contains("refused"), "{text}");

    // A listener whose queue is never taken from: connected, and then silence.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    fixture.settings.connect_timeout = Duration::from_millis(100);
    let mut hole = closed;
    hole.port = silent.local_addr().unwrap().port();
    let began = Instant::now();
    let text = often(&fixture, 5, &hole, Class::Transient);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?} {text}", began.elapsed());
}

/// As a server drops connections over its MaxStartups: before a word, or after some.
#[test]
fn a_server_that_closes_early_is_transient() {
    use std::io::Write;
    let fixture = Fixture::new();
    let sshd = Sshd::start();
    let account = sshd.account("/bin/sh", "home");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut target = target(&sshd, &account);
    target.port = listener.local_addr().unwrap().port();
    let words: [&[u8]; 4] =
        [b"", b"Exceeded MaxStartups\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 400 Bad\r\n\r\n"];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for word in words {
                listener.accept().unwrap().0.write_all(word).unwrap();
            }
        });
        for _ in words {
            let error = fixture.refused(&target);
            assert_eq!(error.class(), Class::Transient, "{}", chain(&error));
        }
    });
    assert_eq!(fixture.used(), (0, 0));
}

#[test]
fn a_server_without_a_common_algorithm_is_permanent() {
    let sshd = Sshd::with("Ciphers aes128-gcm@openssh.com\nHostKeyAlgorithms ssh-rsa");
    let account = sshd.account("/bin/sh", "home");
    let (fixture, target) = (Fixture::new(), target(&sshd, &account));
    // A server that is quicker to close than we are to look cannot be told from a cut.
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let error = fixture.refused(&target);
        let text = chain(&error);
        assert!(text.contains("no algorithm in common"), "{text}");
        if error.class() == Class::Permanent {
            break;
        }
        assert!(Instant::now() < deadline, "{text}");
    }
}
