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
        reply.problem(400);
        assert!(reply.header("x-request-id").is_some_and(|id| id.starts_with("7-")), "{garbage:?}");
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
        let reply = client.reply().unwrap();
        assert_eq!(reply.problem(431)["status"], 431);
        assert!(reply.header("x-request-id").is_some());
        client.assert_closed();
    }
}

#[test]
fn bare_line_feeds_are_answered_400() {
    let server = TestServer::plain();
    let head = server.head("GET", "/big/1");
    for request in
        [format!("{head}\n"), head.replacen("\r\n", "\n", 1) + "\r\n", format!("{head}x: y\n\r\n")]
    {
        let mut client = server.connect();
        // Also behind a request that is answered.
        client.send(format!("{}{request}", server.get("/big/2")));
        assert_eq!(client.reply().unwrap().body, b"xx");
        let problem = client.reply().unwrap().problem(400);
        assert!(problem["detail"].as_str().unwrap().contains("line feed"), "{problem}");
        client.assert_closed();
    }
    let head = server.head("POST", "/echo");
    let head =
        format!("{head}content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n");
    for body in
        ["f\n{\"content\":\"x\"}\r\n0\r\n\r\n", "f\r\n{\"content\":\"x\"}\r\n0\r\nt: 1\n\r\n"]
    {
        let mut client = server.connect();
        client.send(format!("{head}{body}"));
        client.reply().unwrap().problem(400);
        client.assert_closed();
    }
    let mut client = server.connect();
    client.send(format!("{head}f\r\n{{\"content\":\"x\"}}\r\n0\r\nt: 1\r\n\r\n"));
    assert_eq!(client.reply().unwrap().status, 200);
    assert_eq!(client.ask(server.get("/big/1")).status, 200);
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
fn half_closed_client_gets_its_answer_and_the_end_at_once() {
    let server = TestServer::plain();
    let body = r#"{"content":"xyz"}"#;
    let post = format!(
        "{}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        server.head("POST", "/echo"),
        body.len()
    );
    for (request, answer) in [(server.get("/late/300"), &b"late"[..]), (post, b"3")] {
        for _ in 0..20 {
            let mut client = server.connect();
            client.send(&request);
            client.stream().shutdown(Shutdown::Write).unwrap();
            assert_eq!(client.reply().unwrap().body, answer);
            let answered = Instant::now();
            client.assert_closed();
            assert!(answered.elapsed() < Duration::from_millis(900), "{:?}", answered.elapsed());
        }
    }
    super::test_server::until(|| server.owned(), |&owned| owned == 0);
}

#[test]
fn half_closed_client_that_takes_its_answer_slowly_gets_all_of_it() {
    let server = TestServer::plain();
    let mut client = server.connect();
    client.send(server.get("/big/60000000"));
    client.stream().shutdown(Shutdown::Write).unwrap();
    let (mut stream, mut piece, mut count) = (client.stream(), vec![0; 1 << 20], 0);
    let began = Instant::now();
    loop {
        let read = stream.read(&mut piece).unwrap();
        if read == 0 {
            break;
        }
        count += read;
        // As a slow line would: a megabyte in a twentieth of a second at the most.
        let due = began + Duration::from_millis(50) * u32::try_from(count >> 20).unwrap();
        while Instant::now() < due {
            std::thread::yield_now();
        }
    }
    assert!(began.elapsed() > Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(count > 60_000_000, "{count}");
}

#[test]
fn client_that_leaves_a_stream_is_noticed_at_once() {
    let server = TestServer::plain();
    let get = server.get("/events");
    // The last one with a body that nobody reads, and that never comes.
    for request in [
        get.clone(),
        format!("{get}\r\n"),
        format!("{get}GET /next HTTP/1.1\r\n"),
        format!("{}content-length: 9\r\n\r\n", server.head("GET", "/events")),
    ] {
        let mut client = server.connect();
        client.send(request);
        assert_eq!(client.head().unwrap().status, 200);
        client.stream().shutdown(Shutdown::Write).unwrap();
        let left = Instant::now();
        super::test_server::until(|| server.owned(), |&owned| owned == 0);
        assert!(left.elapsed() < Duration::from_secs(1), "{:?}", left.elapsed());
    }
}

#[test]
fn half_closed_client_is_given_up_when_its_answer_never_ends() {
    let server = TestServer::plain();
    let mut client = server.connect();
    client.send(server.get("/late/60000"));
    client.stream().shutdown(Shutdown::Write).unwrap();
    super::test_server::until(|| server.owned(), |&owned| owned == 1);
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
