//! Every place taken.

use std::time::{Duration, Instant};

use super::test_server::{TestServer, until};

#[test]
fn full_server_answers_503_and_recovers() {
    let server = TestServer::new(|config| config.budget.http = 16);
    // Two of sixteen only refuse.
    let mut held: Vec<_> = (0..14).map(|_| server.connect()).collect();
    for client in &mut held {
        assert_eq!(client.ask(server.get("/big/1")).status, 200);
    }
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
        assert_eq!(client.ask(server.get("/big/1")).status, 200, "held places still serve");
    }
    drop(held);
    until(|| server.owned(), |&owned| owned == 0);
    assert_eq!(server.connect().ask(server.get("/big/1")).status, 200);
}

#[test]
fn silent_clients_do_not_keep_the_refusing_places() {
    let server = TestServer::new(|config| config.budget.http = 8);
    let mut held: Vec<_> = (0..7).map(|_| server.connect()).collect();
    for client in &mut held {
        assert_eq!(client.ask(server.get("/big/1")).status, 200);
    }
    let silent: Vec<_> = (0..3).map(|_| server.connect()).collect();
    let mut client = server.connect();
    let began = Instant::now();
    client.ask(server.get("/big/1")).problem(503);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    drop(silent);
}

#[test]
fn budget_of_one_serves() {
    let server = TestServer::new(|config| config.budget.http = 1);
    for _ in 0..3 {
        assert_eq!(server.connect().ask(server.get("/big/1")).status, 200);
    }
}
