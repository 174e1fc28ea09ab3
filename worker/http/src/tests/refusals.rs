//! Requests that are none, connections that dawdle, and clients that half leave.

use std::{
    io::{Read, Write},
    net::Shutdown,
    time::{Duration, Instant},
};

use super::test_server::TestServer;

#[test]
fn malformed_request_is_answered_400() {
    let server = TestServer::plain();
    for garbage in ["GARBAGE\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET /\0 HTTP/1.1\r\n\r\n"] {
        let mut client = server.connect();
        let reply = client.ask(garbage);
        assert_eq!(reply.status, 400, "{garbage:?}");
        client.assert_closed();
    }
    assert_eq!(server.connect().ask(server.get("/big/1")).status, 200);
}

#[test]
fn what_hyper_leaves_unanswered_is_answered_400() {
    let server = TestServer::plain();
    let mut client = server.connect();
    client.ask("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").problem(400);
    client.assert_closed();
    let mut client = server.connect();
    client.send("GET / HTT");
    client.stream().shutdown(Shutdown::Write).unwrap();
    client.reply().unwrap().problem(400);
    client.assert_closed();
}

#[test]
fn headers_past_their_bounds_are_answered_431() {
    let server = TestServer::plain();
    let many = "x: y\r\n".repeat(65);
    let long = format!("x: {}\r\n", "y".repeat(17 * 1024));
    let endless = format!("x: {}", "y".repeat(400 * 1024));
    for headers in [many, long, endless] {
        let mut client = server.connect();
        // The server may stop reading before all is sent, but must not reset before it is read.
        let request = format!("{}{headers}\r\n", server.head("GET", "/big/1"));
        client.try_send(request).unwrap();
        assert_eq!(client.reply().unwrap().status, 431);
        client.assert_closed();
    }
}

#[test]
fn slow_headers_are_answered_408() {
    let server = TestServer::new(|config| config.http.header_timeout = Duration::from_millis(200));
    let mut client = server.connect();
    client.send("GET /big/1 HT");
    let began = Instant::now();
    client.reply().unwrap().problem(408);
    client.assert_closed();
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());

    // The same on a connection that has been served, and drop by drop.
    let mut client = server.connect();
    assert_eq!(client.ask(server.get("/big/1")).status, 200);
    let mut dripping = client.stream().try_clone().unwrap();
    let drip = std::thread::spawn(move || while dripping.write_all(b"G").is_ok() {});
    let status = client.reply().unwrap().status;
    // An endless method is refused as such when it is too long before it is too slow.
    assert!([400, 408, 431].contains(&status), "{status}");
    client.stream().shutdown(Shutdown::Both).unwrap();
    drip.join().unwrap();
}

#[test]
fn silent_connection_is_closed() {
    let server = TestServer::new(|config| config.http.header_timeout = Duration::from_millis(100));
    server.connect().assert_closed();
}

#[test]
fn idle_connection_outlives_the_header_timeout_and_not_its_own() {
    let server = TestServer::new(|config| {
        config.http.header_timeout = Duration::from_millis(50);
        config.http.idle_timeout = Duration::from_millis(400);
    });
    let mut client = server.connect();
    assert_eq!(client.ask(server.get("/big/1")).status, 200);
    let began = Instant::now();
    client.assert_closed();
    let elapsed = began.elapsed();
    assert!(elapsed > Duration::from_millis(300) && elapsed < Duration::from_secs(3));
}

#[test]
fn panicking_handler_costs_its_own_request_only() {
    let server = TestServer::plain();
    let mut client = server.connect();
    let problem = client.ask(server.get("/panic")).problem(500);
    assert!(!problem.to_string().contains("as the test asked"), "{problem}");
    client.assert_closed();
    assert_eq!(server.connect().ask(server.get("/big/1")).status, 200);
}

#[test]
fn half_closed_client_gets_its_answer() {
    let server = TestServer::plain();
    let mut client = server.connect();
    client.send(server.get("/late/300"));
    client.stream().shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.reply().unwrap().body, b"late");
    client.assert_closed();
}

#[test]
fn half_closed_client_is_given_up_when_its_answer_never_ends() {
    let server = TestServer::plain();
    let mut client = server.connect();
    client.send(server.get("/ticks"));
    client.stream().shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.head().unwrap().status, 200);
    let mut rest = Vec::new();
    let mut stream = client.stream();
    // Cut without its last chunk, and not kept for ever.
    let _ = stream.read_to_end(&mut rest);
    super::test_server::until(|| server.owned(), |&owned| owned == 0);
}

#[test]
fn request_id_is_kept_or_made() {
    let server = TestServer::plain();
    let mut client = server.connect();
    let head = server.head("GET", "/big/1");
    let reply = client.ask(format!("{head}x-request-id: abc-1\r\n\r\n"));
    assert_eq!(reply.header("x-request-id"), Some("abc-1"));
    let reply = client.ask(server.get("/big/1"));
    assert_eq!(reply.header("x-request-id"), Some("7-1"));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = TestServer::plain();
    let mut client = server.connect();
    client.send([server.get("/late/50"), server.get("/big/2"), server.get("/big/3")].concat());
    let bodies: Vec<_> = (0..3).map(|_| client.reply().unwrap().body).collect();
    assert_eq!(bodies, [b"late".to_vec(), b"xx".to_vec(), b"xxx".to_vec()]);
}

#[test]
fn head_is_answered_without_a_body() {
    let server = TestServer::plain();
    let mut client = server.connect();
    client.send(format!("{}\r\n", server.head("HEAD", "/big/7")));
    let reply = client.head().unwrap();
    assert_eq!((reply.status, reply.header("content-length")), (200, Some("7")));
    assert_eq!(client.ask(server.get("/big/2")).body, b"xx");
}
