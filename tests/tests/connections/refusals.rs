//! What is no request of HTTP/1.1 is answered like everything else: with a problem document and an
//! identifier, over TCP, TLS and the Unix socket.

use std::process::Command;

use evonic_tests::{
    http::{Answer, Connection},
    pair::{Options, Pair},
    troubleshooting::assert_documented,
};

use crate::wire::secure_pair;

const HOST: &str = "Host: localhost\r\n";

/// Bytes, and the status of their answer.
fn cases() -> Vec<(String, u16)> {
    let get = format!("GET /livez HTTP/1.1\r\n{HOST}");
    let post =
        format!("POST /api/v1/sessions HTTP/1.1\r\n{HOST}Content-Type: application/json\r\n");
    vec![
        (format!("{get}X: {}\r\n\r\n", "x".repeat(20_000)), 431),
        (format!("{get}{}\r\n", "X: y\r\n".repeat(70)), 431),
        (format!("GET /{} HTTP/1.1\r\n{HOST}\r\n", "x".repeat(20_000)), 431),
        ("hello\r\n\r\n".to_owned(), 400),
        (format!("GET /livez HTTP/3.7\r\n{HOST}\r\n"), 400),
        (format!("G@T /livez HTTP/1.1\r\n{HOST}\r\n"), 400),
        (format!("{get}Bad name: x\r\n\r\n"), 400),
        (format!("{get} folded: x\r\n\r\n"), 400),
        (format!("{post}Content-Length: 1\r\nContent-Length: 2\r\n\r\n"), 400),
        (format!("{post}Content-Length: -1\r\n\r\n"), 400),
        (format!("{post}Transfer-Encoding: gzip\r\n\r\n"), 400),
        // Bare line feeds: in the request line, in a header, at the end of the head.
        (format!("GET /livez HTTP/1.1\n{HOST}\r\n"), 400),
        ("GET /livez HTTP/1.1\r\nHost: localhost\n\r\n".to_owned(), 400),
        (format!("{get}\n"), 400),
        ("GET /livez HTTP/1.1\nHost: localhost\n\n".to_owned(), 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 400),
    ]
}

fn assert_problem(answer: &Answer, status: u16, what: &str) {
    assert_eq!(answer.status, status, "{what:?}: {}", answer.text());
    let kind = answer.header("content-type");
    assert_eq!(kind, Some("application/problem+json"), "{what:?}");
    assert!(answer.header("x-request-id").is_some_and(|id| !id.is_empty()), "{what:?}");
    assert_eq!(answer.json()["status"], status, "{what:?}");
}

fn refuse_all(connect: impl Fn() -> Connection) {
    for (bytes, status) in cases() {
        let what: String = bytes.chars().take(60).collect();
        let mut connection = connect();
        let _ = connection.send(bytes.as_bytes());
        assert_problem(&connection.answer().expect(&what), status, &what);
        // Behind a request that is answered, on the same connection and in the same piece.
        let mut connection = connect();
        let first = format!("GET /livez HTTP/1.1\r\n{HOST}\r\n");
        let _ = connection.send(format!("{first}{bytes}").as_bytes());
        assert_eq!(connection.answer().expect(&what).status, 200, "{what:?}");
        assert_problem(&connection.answer().expect(&what), status, &what);
    }
}

#[test]
fn what_is_no_request_is_a_problem_with_an_identifier() {
    let pair = Pair::start(&Options::default());
    let (worker, address) = (pair.worker(), pair.address());
    refuse_all(|| Connection::tcp(address).expect("a connection"));
    let socket = pair.runtime_dir().join("api.sock");
    refuse_all(|| Connection::unix(&socket).expect("a connection"));
    assert_eq!(pair.worker(), worker);

    let mut connection = Connection::tcp(address).unwrap();
    connection.send(b"GET /livez HTTP/1.1\nHost: localhost\n\n").unwrap();
    let seen = connection.answer().unwrap().json()["detail"].as_str().unwrap().to_owned();
    assert_documented("a line ends with a bare line feed; lines of HTTP end with CR and LF", &seen);
    let mut connection = Connection::tcp(address).unwrap();
    let _ = connection.send(cases()[0].0.as_bytes());
    let seen = connection.answer().unwrap().json()["detail"].as_str().unwrap().to_owned();
    assert_documented("the headers may have … bytes (http.max_header_bytes)", &seen);
}

#[test]
fn bare_line_feeds_of_chunked_bodies_are_refused() {
    let pair = Pair::start(&Options::default());
    let key = pair.admin_key();
    let head = format!(
        "POST /api/v1/sessions HTTP/1.1\r\n{HOST}Authorization: Bearer {key}\r\n\
         Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let body = r#"{"agent":"runbook"}"#;
    let ask = |chunks: &str| {
        let mut connection = Connection::tcp(pair.address()).unwrap();
        let _ = connection.send(format!("{head}{chunks}").as_bytes());
        connection.answer().expect("an answer")
    };
    for chunks in [
        format!("13\n{body}\r\n0\r\n\r\n"),
        format!("13;x=y\n{body}\r\n0\r\n\r\n"),
        format!("13\r\n{body}\n0\r\n\r\n"),
        format!("13\r\n{body}\r\n0\n\r\n"),
        format!("13\r\n{body}\r\n0\r\nX: y\n\r\n"),
        format!("13\r\n{body}\r\n0\r\n\n"),
    ] {
        assert_problem(&ask(&chunks), 400, &chunks);
    }
    for chunks in
        [format!("13\r\n{body}\r\n0\r\nX: y\r\n\r\n"), format!("13;x=y\r\n{body}\r\n0\r\n\r\n")]
    {
        assert_eq!(ask(&chunks).status, 201, "{chunks:?}");
    }
}

#[test]
fn what_is_no_request_is_a_problem_over_tls_and_so_is_what_has_none() {
    let (_folder, pair) = secure_pair();
    let to = format!("OPENSSL:127.0.0.1:{},verify=0", pair.address().port());
    for (bytes, status) in cases() {
        let (answer, _) = crate::wire::pipe("socat", &["-t", "10", "-", &to], &bytes);
        let what: String = bytes.chars().take(60).collect();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{what:?}: {answer}");
        assert!(answer.contains("content-type: application/problem+json\r\n"), "{answer}");
        assert!(answer.contains("x-request-id: "), "{answer}");
    }
    let mut connection = Connection::tcp(pair.address()).unwrap();
    connection.send(format!("GET /livez HTTP/1.1\r\n{HOST}\r\n").as_bytes()).unwrap();
    assert_problem(&connection.answer().unwrap(), 400, "no TLS");
    let curl = Command::new("curl")
        .args(["-sk", &format!("https://127.0.0.1:{}/livez", pair.address().port())])
        .output();
    assert!(String::from_utf8_lossy(&curl.expect("curl is installed").stdout).contains("live"));
}
