//! Request bodies: what is read, and what is refused so that its client learns it.

use std::{io::Write, net::Shutdown, time::Duration};

use super::test_server::TestServer;

fn post(server: &TestServer, kind: &str, body: &str) -> String {
    let head = server.head("POST", "/echo");
    format!("{head}content-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn oversized_body_is_answered_413_without_a_reset() {
    let server = TestServer::plain();
    let body = format!("{{\"content\":\"{}\"}}", "x".repeat(8 << 20));
    let announced = post(&server, "application/json", &body);
    let head = server.head("POST", "/echo");
    let chunked = format!(
        "{head}content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\
         \r\n0\r\n\r\n",
        body.len()
    );
    for request in [announced, chunked] {
        let mut client = server.connect();
        // A client that reads nothing before all of it is sent.
        client.send(request);
        let reply = client.reply().unwrap();
        reply.problem(413);
        assert!(reply.closes());
        client.assert_closed();
    }
}

#[test]
fn chunked_body_is_read() {
    let server = TestServer::plain();
    let head = server.head("POST", "/echo");
    let request = format!(
        "{head}content-type: application/json; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n\
         c\r\n{{\"content\":\"\r\n6\r\nhello\"\r\n1\r\n}}\r\n0\r\n\r\n"
    );
    let mut client = server.connect();
    for _ in 0..2 {
        let reply = client.ask(&request);
        assert_eq!((reply.status, reply.body.as_slice()), (200, b"5".as_slice()), "{reply:?}");
    }
}

#[test]
fn encoded_body_is_refused_with_what_is_taken() {
    let server = TestServer::plain();
    let body = r#"{"content":"x"}"#;
    let head = server.head("POST", "/echo");
    let ask = |headers: &str| {
        let framing = format!("content-type: application/json\r\ncontent-length: {}", body.len());
        server.connect().ask(format!("{head}{framing}\r\n{headers}\r\n{body}"))
    };
    for coding in ["gzip", "br", "identity, gzip", "x-unknown"] {
        let reply = ask(&format!("content-encoding: {coding}\r\n"));
        assert_eq!(reply.problem(415)["field"], "content-encoding");
        assert_eq!(reply.header("accept-encoding"), Some("identity"), "{coding}");
    }
    assert_eq!(ask("content-encoding: Identity\r\n").status, 200);
    let chunks = format!("f\r\n{body}\r\n0\r\n\r\n");
    let json = "content-type: application/json\r\ntransfer-encoding: gzip, chunked\r\n\r\n";
    let reply = server.connect().ask(format!("{head}{json}{chunks}"));
    assert_eq!(reply.problem(501)["field"], "transfer-encoding");
    assert!(reply.closes());
}

#[test]
fn paused_body_is_answered_408() {
    let server = TestServer::new(|config| config.http.body_timeout = Duration::from_millis(150));
    let mut client = server.connect();
    let head = server.head("POST", "/echo");
    client.send(format!("{head}content-type: application/json\r\ncontent-length: 99\r\n\r\n{{"));
    let reply = client.reply().unwrap();
    reply.problem(408);
    assert!(reply.closes());
    client.assert_closed();
}

#[test]
fn dripping_body_is_answered_408_in_all() {
    let server = TestServer::new(|config| config.http.body_timeout = Duration::from_millis(100));
    let mut client = server.connect();
    let head = server.head("POST", "/echo");
    client.send(format!("{head}content-type: application/json\r\ncontent-length: 999999\r\n\r\n"));
    let mut dripping = client.stream().try_clone().unwrap();
    let drip = std::thread::spawn(move || {
        let mut pause = [0];
        dripping.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        while dripping.write_all(b" ").is_ok() {
            // Waits for the answer, in steps; peeking leaves it to the other end of the test.
            if dripping.peek(&mut pause).is_ok() {
                break;
            }
        }
    });
    drip.join().unwrap();
    client.stream().set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client.reply().unwrap().problem(408);
}

#[test]
fn bad_json_names_the_field() {
    let server = TestServer::plain();
    let mut client = server.connect();
    let cases = [
        ("{", None, "EOF"),
        ("{}", None, "missing field `content`"),
        ("{\"content\":7}", Some("content"), "invalid type"),
        ("{\"content\":\"\",\"more\":1}", Some("more"), "unknown field `more`"),
        ("{\"content\":\"\"} x", None, "trailing"),
        ("[\"a structure's fields in order\"]", None, "must be a JSON object"),
        ("", None, "must be a JSON object"),
    ];
    for (body, field, detail) in cases {
        let reply = client.ask(post(&server, "application/json", body));
        let problem = reply.problem(400);
        assert_eq!(problem["field"].as_str(), field, "{body}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(detail), "{body}: {problem}");
        assert!(!reply.closes(), "a body that came whole costs no connection");
    }
}

#[test]
fn body_that_is_no_json_is_answered_415() {
    let server = TestServer::plain();
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp"] {
        server.connect().ask(post(&server, kind, "{}")).problem(415);
    }
}

#[test]
fn body_is_asked_for_only_when_it_is_wanted() {
    let server = TestServer::plain();
    let head = |length: usize| {
        let head = server.head("POST", "/echo");
        format!(
            "{head}content-type: application/json\r\ncontent-length: {length}\r\n\
             expect: 100-continue\r\n\r\n"
        )
    };
    let mut client = server.connect();
    let body = "{\"content\":\"abc\"}";
    client.send(head(body.len()));
    assert_eq!(client.head().unwrap().status, 100);
    assert_eq!(client.ask(body).body, b"3");
    let mut client = server.connect();
    client.ask(head(64 << 20)).problem(413);
    client.assert_closed();
}

#[test]
fn broken_off_body_costs_nothing() {
    let server = TestServer::plain();
    for _ in 0..10 {
        let mut client = server.connect();
        let head = server.head("POST", "/echo");
        client.send(format!("{head}content-type: application/json\r\ncontent-length: 9\r\n\r\n{{"));
        client.stream().shutdown(Shutdown::Write).unwrap();
        client.reply().unwrap().problem(400);
        client.assert_closed();
    }
    super::test_server::until(|| server.owned(), |&owned| owned == 0);
}
