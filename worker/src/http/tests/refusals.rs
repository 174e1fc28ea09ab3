//! What is refused, and that each refusal reaches its client.

use std::{
    io::{Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use super::{client::Client, house::House};

fn post(house: &House, kind: &str, body: &str) -> String {
    let head = house.head("POST", "/echo");
    format!("{head}content-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn malformed_request_is_answered_400() {
    let house = House::plain();
    for garbage in ["GARBAGE\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET /\0 HTTP/1.1\r\n\r\n"] {
        let mut client = house.connect();
        let reply = client.ask(garbage);
        assert_eq!(reply.status, 400, "{garbage:?}");
        client.assert_closed();
    }
    assert_eq!(house.connect().ask(house.get("/big/1")).status, 200);
}

#[test]
fn what_hyper_leaves_unanswered_is_answered_400() {
    let house = House::plain();
    let mut client = house.connect();
    client.ask("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").problem(400);
    client.assert_closed();
    let mut client = house.connect();
    client.send("GET / HTT");
    client.stream().shutdown(Shutdown::Write).unwrap();
    client.reply().unwrap().problem(400);
    client.assert_closed();
}

#[test]
fn headers_past_their_bounds_are_answered_431() {
    let house = House::plain();
    let many = "x: y\r\n".repeat(65);
    let long = format!("x: {}\r\n", "y".repeat(17 * 1024));
    let endless = format!("x: {}", "y".repeat(400 * 1024));
    for headers in [many, long, endless] {
        let mut client = house.connect();
        // The server may stop reading before all is sent, but must not reset before it is read.
        let request = format!("{}{headers}\r\n", house.head("GET", "/big/1"));
        client.try_send(request).unwrap();
        assert_eq!(client.reply().unwrap().status, 431);
        client.assert_closed();
    }
}

#[test]
fn slow_headers_are_answered_408() {
    let house = House::new(|config| config.http.header_timeout = Duration::from_millis(200));
    let mut client = house.connect();
    client.send("GET /big/1 HT");
    let began = Instant::now();
    client.reply().unwrap().problem(408);
    client.assert_closed();
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());

    // The same on a connection that has been served, and drop by drop.
    let mut client = house.connect();
    assert_eq!(client.ask(house.get("/big/1")).status, 200);
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
    let house = House::new(|config| config.http.header_timeout = Duration::from_millis(100));
    house.connect().assert_closed();
}

#[test]
fn idle_connection_outlives_the_header_timeout_and_not_its_own() {
    let house = House::new(|config| {
        config.http.header_timeout = Duration::from_millis(50);
        config.http.idle_timeout = Duration::from_millis(400);
    });
    let mut client = house.connect();
    assert_eq!(client.ask(house.get("/big/1")).status, 200);
    let began = Instant::now();
    client.assert_closed();
    let elapsed = began.elapsed();
    assert!(elapsed > Duration::from_millis(300) && elapsed < Duration::from_secs(3));
}

#[test]
fn oversized_body_is_answered_413_without_a_reset() {
    let house = House::plain();
    let body = format!("{{\"content\":\"{}\"}}", "x".repeat(8 << 20));
    let announced = post(&house, "application/json", &body);
    let head = house.head("POST", "/echo");
    let chunked = format!(
        "{head}content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\
         \r\n0\r\n\r\n",
        body.len()
    );
    for request in [announced, chunked] {
        let mut client = house.connect();
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
    let house = House::plain();
    let head = house.head("POST", "/echo");
    let request = format!(
        "{head}content-type: application/json; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n\
         c\r\n{{\"content\":\"\r\n6\r\nhello\"\r\n1\r\n}}\r\n0\r\n\r\n"
    );
    let mut client = house.connect();
    for _ in 0..2 {
        let reply = client.ask(&request);
        assert_eq!((reply.status, reply.body.as_slice()), (200, b"5".as_slice()), "{reply:?}");
    }
}

#[test]
fn paused_body_is_answered_408() {
    let house = House::new(|config| config.http.body_timeout = Duration::from_millis(150));
    let mut client = house.connect();
    let head = house.head("POST", "/echo");
    client.send(format!("{head}content-type: application/json\r\ncontent-length: 99\r\n\r\n{{"));
    let reply = client.reply().unwrap();
    reply.problem(408);
    assert!(reply.closes());
    client.assert_closed();
}

#[test]
fn dripping_body_is_answered_408_in_all() {
    let house = House::new(|config| config.http.body_timeout = Duration::from_millis(100));
    let mut client = house.connect();
    let head = house.head("POST", "/echo");
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
    let house = House::plain();
    let mut client = house.connect();
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
        let reply = client.ask(post(&house, "application/json", body));
        let problem = reply.problem(400);
        assert_eq!(problem["field"].as_str(), field, "{body}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(detail), "{body}: {problem}");
        assert!(!reply.closes(), "a body that came whole costs no connection");
    }
}

#[test]
fn body_that_is_no_json_is_answered_415() {
    let house = House::plain();
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp"] {
        house.connect().ask(post(&house, kind, "{}")).problem(415);
    }
}

#[test]
fn foreign_host_and_origin_are_answered_403() {
    let house = House::new(|config| config.http.allowed_hosts = vec!["evonic.lan".to_owned()]);
    let port = house.address.port();
    let ask = |headers: String| {
        let reply = house.connect().ask(format!("GET /big/1 HTTP/1.1\r\n{headers}\r\n"));
        reply.status
    };
    let other = if port == 80 { 81 } else { 80 };
    for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1"] {
        assert_eq!(ask(format!("host: {host}:{port}\r\n")), 403, "{host}");
    }
    // Behind a tunnel the port is the client's; the page it serves is then of that port too.
    let tunnelled = format!("host: localhost:{other}\r\n");
    assert_eq!(ask(tunnelled.clone()), 200);
    assert_eq!(ask(format!("{tunnelled}origin: http://localhost:{other}\r\n")), 200);
    assert_eq!(ask(format!("{tunnelled}origin: http://localhost:{port}\r\n")), 403);
    assert_eq!(ask(format!("host: evil.example:{port}@localhost:{port}\r\n")), 403);
    for host in ["localhost", "127.0.0.1", "127.8.8.8", "[::1]", "LOCALHOST", "evonic.lan"] {
        assert_eq!(ask(format!("host: {host}:{port}\r\n")), 200, "{host}");
    }
    assert_eq!(ask("host: evonic.lan\r\n".to_owned()), 200);
    assert_eq!(ask(String::new()), 400);
    assert_eq!(ask(format!("host: localhost:{port}\r\nhost: localhost:{port}\r\n")), 400);
    let with_origin = |origin: &str| ask(format!("host: localhost:{port}\r\norigin: {origin}\r\n"));
    for origin in ["null", "http://evil.example", "http://localhost:1", "file://", "http://"] {
        assert_eq!(with_origin(origin), 403, "{origin}");
    }
    assert_eq!(with_origin(&format!("http://localhost:{port}")), 200);
    assert_eq!(with_origin("https://evonic.lan"), 200);
    // The request line's own authority counts too.
    let absolute = format!("GET http://evil.example/ HTTP/1.1\r\nhost: localhost:{port}\r\n\r\n");
    assert_eq!(house.connect().ask(absolute).status, 403);
}

#[test]
fn unix_socket_needs_no_host() {
    let house = House::plain();
    let mut client = Client::over(UnixStream::connect(&house.socket).unwrap());
    assert_eq!(client.ask("GET /big/3 HTTP/1.1\r\nhost: anything\r\n\r\n").body, b"xxx");
}

#[test]
fn panicking_handler_costs_its_own_request_only() {
    let house = House::plain();
    let mut client = house.connect();
    let problem = client.ask(house.get("/panic")).problem(500);
    assert!(!problem.to_string().contains("as the test asked"), "{problem}");
    client.assert_closed();
    assert_eq!(house.connect().ask(house.get("/big/1")).status, 200);
}

#[test]
fn half_closed_client_gets_its_answer() {
    let house = House::plain();
    let mut client = house.connect();
    client.send(house.get("/late/300"));
    client.stream().shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.reply().unwrap().body, b"late");
    client.assert_closed();
}

#[test]
fn half_closed_client_is_given_up_when_its_answer_never_ends() {
    let house = House::plain();
    let mut client = house.connect();
    client.send(house.get("/ticks"));
    client.stream().shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.head().unwrap().status, 200);
    let mut rest = Vec::new();
    let mut stream = client.stream();
    // Cut without its last chunk, and not kept for ever.
    let _ = stream.read_to_end(&mut rest);
    super::house::until(|| house.owned(), |&owned| owned == 0);
}

#[test]
fn request_id_is_kept_or_made() {
    let house = House::plain();
    let mut client = house.connect();
    let head = house.head("GET", "/big/1");
    let reply = client.ask(format!("{head}x-request-id: abc-1\r\n\r\n"));
    assert_eq!(reply.header("x-request-id"), Some("abc-1"));
    let reply = client.ask(house.get("/big/1"));
    assert_eq!(reply.header("x-request-id"), Some("7-1"));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let house = House::plain();
    let mut client = house.connect();
    client.send([house.get("/late/50"), house.get("/big/2"), house.get("/big/3")].concat());
    let bodies: Vec<_> = (0..3).map(|_| client.reply().unwrap().body).collect();
    assert_eq!(bodies, [b"late".to_vec(), b"xx".to_vec(), b"xxx".to_vec()]);
}

#[test]
fn body_is_asked_for_only_when_it_is_wanted() {
    let house = House::plain();
    let head = |length: usize| {
        let head = house.head("POST", "/echo");
        format!(
            "{head}content-type: application/json\r\ncontent-length: {length}\r\n\
             expect: 100-continue\r\n\r\n"
        )
    };
    let mut client = house.connect();
    let body = "{\"content\":\"abc\"}";
    client.send(head(body.len()));
    assert_eq!(client.head().unwrap().status, 100);
    assert_eq!(client.ask(body).body, b"3");
    let mut client = house.connect();
    client.ask(head(64 << 20)).problem(413);
    client.assert_closed();
}

#[test]
fn broken_off_body_costs_nothing() {
    let house = House::plain();
    for _ in 0..10 {
        let mut client = house.connect();
        let head = house.head("POST", "/echo");
        client.send(format!("{head}content-type: application/json\r\ncontent-length: 9\r\n\r\n{{"));
        client.stream().shutdown(Shutdown::Write).unwrap();
        client.reply().unwrap().problem(400);
        client.assert_closed();
    }
    super::house::until(|| house.owned(), |&owned| owned == 0);
}

#[test]
fn head_is_answered_without_a_body() {
    let house = House::plain();
    let mut client = house.connect();
    client.send(format!("{}\r\n", house.head("HEAD", "/big/7")));
    let reply = client.head().unwrap();
    assert_eq!((reply.status, reply.header("content-length")), (200, Some("7")));
    assert_eq!(client.ask(house.get("/big/2")).body, b"xx");
}
