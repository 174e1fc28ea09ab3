//! Who may speak.

use std::os::unix::net::UnixStream;

use super::{client::Client, test_server::TestServer};

#[test]
fn foreign_host_and_origin_are_answered_403() {
    let server =
        TestServer::new(|config| config.http.allowed_hosts = vec!["evonic.lan".to_owned()]);
    let port = server.address.port();
    let ask = |headers: String| {
        // What needs a key, so that who is let in is asked for one.
        let reply = server.connect().ask(format!("GET /keyed/1 HTTP/1.1\r\n{headers}\r\n"));
        reply.status
    };
    let let_in = 401;
    let other = if port == 80 { 81 } else { 80 };
    for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1"] {
        assert_eq!(ask(format!("host: {host}:{port}\r\n")), 403, "{host}");
    }
    // Behind a tunnel the port is the client's; the page it serves is then of that port too.
    let tunnelled = format!("host: localhost:{other}\r\n");
    assert_eq!(ask(tunnelled.clone()), let_in);
    assert_eq!(ask(format!("{tunnelled}origin: http://localhost:{other}\r\n")), let_in);
    assert_eq!(ask(format!("{tunnelled}origin: http://localhost:{port}\r\n")), 403);
    assert_eq!(ask(format!("host: evil.example:{port}@localhost:{port}\r\n")), 403);
    for host in ["localhost", "127.0.0.1", "127.8.8.8", "[::1]", "LOCALHOST", "evonic.lan"] {
        assert_eq!(ask(format!("host: {host}:{port}\r\n")), let_in, "{host}");
    }
    assert_eq!(ask("host: evonic.lan\r\n".to_owned()), let_in);
    assert_eq!(ask(String::new()), 400);
    assert_eq!(ask(format!("host: localhost:{port}\r\nhost: localhost:{port}\r\n")), 400);
    let with_origin = |origin: &str| ask(format!("host: localhost:{port}\r\norigin: {origin}\r\n"));
    for origin in ["null", "http://evil.example", "http://localhost:1", "file://", "http://"] {
        assert_eq!(with_origin(origin), 403, "{origin}");
    }
    assert_eq!(with_origin(&format!("http://localhost:{port}")), let_in);
    assert_eq!(with_origin("https://evonic.lan"), let_in);
    // The request line's own authority counts too.
    let absolute =
        format!("GET http://evil.example/keyed/1 HTTP/1.1\r\nhost: localhost:{port}\r\n\r\n");
    assert_eq!(server.connect().ask(absolute).status, 403);
}

#[test]
fn what_needs_no_key_needs_no_host_either() {
    let server = TestServer::plain();
    for headers in ["host: 10.0.0.1:8420\r\n", "host: evil.example\r\n", "", "host: a@b\r\n"] {
        let reply = server.connect().ask(format!("GET /big/1 HTTP/1.1\r\n{headers}\r\n"));
        assert_eq!(reply.status, 200, "{headers}");
    }
}

#[test]
fn unix_socket_needs_no_host() {
    let server = TestServer::plain();
    let mut client = Client::over(UnixStream::connect(&server.socket).unwrap());
    assert_eq!(client.ask("GET /big/3 HTTP/1.1\r\nhost: anything\r\n\r\n").body, b"xxx");
}
