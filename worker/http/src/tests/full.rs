//! Every place taken.

use std::{
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use evonic_shared::config::Config;

use super::{
    client::{Client, Reply},
    test_server::{TestServer, until},
};
use crate::places::Activity;

/// So many connections, all for anybody.
fn for_anybody(connections: u32) -> impl Fn(&mut Config) {
    move |config| {
        config.budget.http = connections;
        (config.http.reserved_unix, config.http.reserved_keys) = (0, 0);
        config.http.max_connections_per_address = 1000;
    }
}

/// A request that the server waits for the last byte of.
fn half_a_body(server: &TestServer) -> String {
    let head = server.head("POST", "/echo");
    format!("{head}content-type: application/json\r\ncontent-length: 15\r\n\r\n{{\"content\":\"x\"")
}

/// Connections that are being answered.
fn busy(server: &TestServer, count: usize) -> Vec<Client> {
    let connect = |_| {
        let mut client = server.connect();
        client.send(half_a_body(server));
        client
    };
    let busy = (0..count).map(connect).collect();
    until(|| server.doing(Activity::Busy), |&found| found == count);
    busy
}

fn finish(client: &mut Client) -> Reply {
    client.send("}");
    client.reply().unwrap()
}

#[test]
fn full_server_answers_503_and_recovers() {
    let server = TestServer::new(for_anybody(16));
    // Two of sixteen only refuse.
    let mut held = busy(&server, 14);
    for _ in 0..20 {
        let mut client = server.connect();
        let began = Instant::now();
        let reply = client.ask(server.get("/big/1"));
        reply.problem(503);
        assert_eq!(reply.header("retry-after"), Some("1"));
        assert!(reply.closes());
        client.assert_closed();
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
    for client in &mut held {
        assert_eq!(finish(client).status, 200, "what is answered keeps its place");
    }
    drop(held);
    until(|| server.owned(), |&owned| owned == 0);
    assert_eq!(server.connect().ask(server.get("/big/1")).status, 200);
}

#[test]
fn silent_clients_keep_nobody_from_being_refused() {
    let server = TestServer::new(for_anybody(16));
    let _held = busy(&server, 14);
    for _ in 0..5 {
        let _silent: Vec<_> = (0..8).map(|_| server.connect()).collect();
        let mut client = server.connect();
        let began = Instant::now();
        client.ask(server.get("/big/1")).problem(503);
        // The refusal of one alone may take half a second.
        assert!(began.elapsed() < Duration::from_millis(400), "{:?}", began.elapsed());
    }
}

/// Each of many that come takes the place of the oldest that waits, without a reset.
fn give_way(begin: impl Fn(&TestServer, &mut Client), end: impl Fn(&mut Client)) {
    let server = TestServer::new(for_anybody(16));
    let mut waiting: Vec<_> = (0..14).map(|_| server.connect()).collect();
    for client in &mut waiting {
        begin(&server, client);
    }
    until(|| server.owned(), |&owned| owned == 14);
    let mut came = Vec::new();
    for client in &mut waiting {
        came.push(server.connect());
        assert_eq!(came.last_mut().unwrap().ask(server.get("/big/1")).status, 200);
        end(client);
    }
}

#[test]
fn idle_connections_give_way() {
    give_way(
        |server, client| assert_eq!(client.ask(server.get("/big/1")).status, 200),
        Client::assert_closed,
    );
    give_way(|_, _| {}, Client::assert_closed);
}

#[test]
fn half_headers_give_way_and_are_told() {
    let server = TestServer::new(for_anybody(16));
    let begin = |number: usize| {
        let mut client = server.connect();
        client.send(server.head("GET", "/big/1"));
        until(|| server.doing(Activity::Begun), |&begun| begun == number + 1);
        client
    };
    let mut waiting: Vec<_> = (0..14).map(begin).collect();
    assert_eq!(server.connect().ask(server.get("/big/1")).status, 200);
    let reply = waiting[0].reply().unwrap();
    reply.problem(503);
    assert_eq!(reply.header("retry-after"), Some("1"));
    waiting[0].assert_closed();
    waiting[1].send("\r\n");
    assert_eq!(waiting[1].reply().unwrap().status, 200);
}

#[test]
fn who_takes_no_bytes_gives_way() {
    let server = TestServer::new(for_anybody(16));
    let mut held: Vec<_> = (0..14).map(|_| server.connect()).collect();
    for client in &mut held {
        client.send(server.get("/big/20000000"));
    }
    // After a second in which they took nothing.
    let ask = || server.connect().ask(server.get("/big/1")).status;
    until(ask, |&status| status == 200);
    assert_eq!(ask(), 200);
}

#[test]
fn an_address_has_so_many_connections() {
    let server = TestServer::new(|config| config.http.max_connections_per_address = 5);
    let mut held = busy(&server, 5);
    let reply = server.connect().ask(server.get("/big/1"));
    let problem = reply.problem(429);
    assert_eq!(problem["type"], "urn:evonic:problem:too_many_connections");
    assert_eq!(problem["of"], "address");
    assert_eq!(reply.header("retry-after"), Some("1"));
    assert!(reply.closes());
    let mut unix = Client::over(UnixStream::connect(&server.socket).unwrap());
    assert_eq!(unix.ask(server.get("/big/1")).status, 200);
    assert_eq!(finish(&mut held[0]).status, 200);
    // Idle now, it gives way to another of its address.
    assert_eq!(server.connect().ask(server.get("/big/1")).status, 200);
    held[0].assert_closed();
}

#[test]
fn the_unix_socket_and_keys_have_places_of_their_own() {
    let mut server = TestServer::keyed(|config| {
        config.budget.http = 16;
        (config.http.reserved_unix, config.http.reserved_keys) = (2, 3);
        config.http.max_connections_per_address = 1000;
        config.http.max_connections_per_key = 3;
    });
    let key = server.key.take();
    // Nine of fourteen are for anybody.
    let _busy = busy(&server, 9);
    server.connect().ask(server.get("/big/1")).problem(503);
    let mut unix = Client::over(UnixStream::connect(&server.socket).unwrap());
    assert_eq!(unix.ask(server.get("/big/1")).status, 200);
    server.key = key;
    let keyed = |milliseconds| {
        let mut client = server.connect();
        client.send(server.get(&format!("/keyed/{milliseconds}")));
        client
    };
    let hold = |number: usize| {
        let client = keyed(60_000);
        until(|| server.doing(Activity::Busy), |&found| found == 10 + number);
        client
    };
    let held: Vec<_> = (0..3).map(hold).collect();
    let reply = keyed(1).reply().unwrap();
    assert_eq!(reply.problem(429)["of"], "key");
    assert_eq!(reply.header("retry-after"), Some("1"));
    drop(held);
    until(|| server.doing(Activity::Busy), |&found| found == 9);
    let mut client = keyed(1);
    for _ in 0..3 {
        assert_eq!(client.reply().unwrap().status, 200);
        // For longer than a refusal lasts: it has a place like any other.
        client.send(server.get("/keyed/400"));
    }
}

#[test]
fn budget_of_one_serves() {
    let server = TestServer::new(for_anybody(1));
    for _ in 0..3 {
        assert_eq!(server.connect().ask(server.get("/big/1")).status, 200);
    }
}
