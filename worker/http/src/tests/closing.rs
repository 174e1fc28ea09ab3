//! Drain: nothing is reset, nothing is cut short, nothing is left.

use std::{
    io::{self, Write},
    net::TcpStream,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use super::{
    client::Client,
    test_server::{TestServer, until},
};

const DRAIN_TIMEOUT: Duration = Duration::from_secs(8);

#[test]
fn drain_answers_what_is_under_way_and_says_close() {
    let server = TestServer::plain();
    let mut slow = server.connect();
    let mut idle = server.connect();
    let mut streaming = server.connect();
    let mut fresh = server.connect();
    assert_eq!(idle.ask(server.get("/big/1")).status, 200);
    streaming.send(server.get("/ticks"));
    assert_eq!(streaming.head().unwrap().status, 200);
    slow.send(server.get("/late/500"));
    until(|| server.owned(), |&owned| owned == 4);

    std::thread::scope(|scope| {
        let drained = scope.spawn(|| server.drain(DRAIN_TIMEOUT));
        until(|| server.server.acceptor.is_empty(), |&stopped| stopped);
        // Within the linger: answered, with `Connection: close`.
        for client in [&mut idle, &mut fresh] {
            let reply = client.ask(server.get("/big/1"));
            assert_eq!(reply.status, 200);
            assert!(reply.closes());
            client.assert_closed();
        }
        let reply = slow.reply().unwrap();
        assert_eq!(reply.body, b"late");
        assert!(reply.closes());
        slow.assert_closed();
        let mut last = Vec::new();
        while let Some(piece) = streaming.chunk().unwrap() {
            last = piece;
        }
        assert_eq!(last, b"end\n");
        drop(streaming);
        assert_eq!(drained.join().unwrap(), 0);
    });
    assert!(server.server.ended().is_cancelled());
    assert_eq!(server.owned(), 0);
}

#[test]
fn drain_leaves_the_queue_to_others() {
    let server = TestServer::plain();
    // Another worker shares the listener: here, the test itself.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    drop(server);
    let shared = listener.try_clone().unwrap();
    let address = listener.local_addr().unwrap();
    let server = TestServer::on(listener);
    assert_eq!(Client::connect(address).ask(server.get("/big/1")).status, 200);
    server.drain(DRAIN_TIMEOUT);
    let mut client = Client::connect(address);
    client.send(server.get("/big/1"));
    shared.set_nonblocking(false).unwrap();
    let (mut accepted, _) = shared.accept().unwrap();
    accepted.write_all(b"HTTP/1.1 204 by another\r\n\r\n").unwrap();
    assert_eq!(client.reply().unwrap().status, 204);
}

#[test]
fn idle_connections_are_closed_after_the_linger() {
    let server = TestServer::plain();
    let mut clients: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for client in &mut clients {
        assert_eq!(client.ask(server.get("/big/1")).status, 200);
    }
    let began = Instant::now();
    std::thread::scope(|scope| {
        let drained = scope.spawn(|| server.drain(DRAIN_TIMEOUT));
        for client in &mut clients {
            client.assert_closed();
        }
        drop(clients);
        assert_eq!(drained.join().unwrap(), 0);
    });
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[test]
fn what_outlives_the_drain_is_cut_and_counted() {
    let server = TestServer::plain();
    let mut stuck = server.connect();
    stuck.send(server.get("/late/60000"));
    until(|| server.owned(), |&owned| owned == 1);
    let began = Instant::now();
    assert_eq!(server.drain(Duration::from_millis(500)), 1);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(stuck.reply().is_err());
    assert_eq!(server.owned(), 0);
}

#[test]
fn client_that_takes_no_answer_is_cut() {
    let server = TestServer::new(|config| config.http.idle_timeout = Duration::from_millis(300));
    let mut greedy = server.connect();
    greedy.send(server.get("/big/50000000"));
    until(|| server.owned(), |&owned| owned == 1);
    until(|| server.owned(), |&owned| owned == 0);
}

#[test]
fn probe_is_answered_until_the_end() {
    let server = TestServer::plain();
    let mut probe = Client::over(server.probe.try_clone().unwrap());
    let ask = "GET /big/1 HTTP/1.1\r\nhost: x\r\n\r\n";
    assert_eq!(probe.ask(ask).status, 200);
    assert_eq!(server.owned(), 0, "outside the budget");
    let mut slow = server.connect();
    slow.send(server.get("/late/500"));
    until(|| server.owned(), |&owned| owned == 1);
    std::thread::scope(|scope| {
        let drained = scope.spawn(|| server.drain(DRAIN_TIMEOUT));
        until(|| server.server.acceptor.is_empty(), |&stopped| stopped);
        let reply = probe.ask(ask);
        assert_eq!(reply.status, 200);
        assert!(!reply.closes());
        assert_eq!(slow.reply().unwrap().status, 200);
        drop(slow);
        assert_eq!(drained.join().unwrap(), 0);
    });
    probe.assert_closed();
}

#[test]
fn ping_goes_through_the_router() {
    let server = TestServer::plain();
    // The test's router has no /livez: the error says what came instead of 200.
    let error = server.runtime.block_on(server.server.ping()).unwrap_err();
    assert_eq!(error, "answered 'HTTP/1.1 404 Not Found'");
    assert_eq!(server.owned(), 0);
    server.drain(DRAIN_TIMEOUT);
    assert!(server.runtime.block_on(server.server.ping()).is_err(), "the server is gone");
}

#[test]
fn load_while_draining_sees_no_reset() {
    let server = TestServer::plain();
    let address = server.address;
    let request = server.get("/late/1");
    let total = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = Client::connect(address);
                    loop {
                        client.send(&request);
                        let reply = client.reply().unwrap();
                        assert_eq!(reply.status, 200);
                        total.fetch_add(1, Ordering::Relaxed);
                        if reply.closes() {
                            return client.assert_closed();
                        }
                    }
                })
            })
            .collect();
        until(|| total.load(Ordering::Relaxed), |&answered| answered > 500);
        assert_eq!(server.drain(DRAIN_TIMEOUT), 0);
        for client in clients {
            client.join().unwrap();
        }
    });
}

#[test]
fn descriptors_are_flat_over_a_thousand_connections() {
    let server = TestServer::plain();
    let round = || {
        let mut client = server.connect();
        assert_eq!(client.ask(server.get("/big/10")).status, 200);
    };
    for _ in 0..1000 {
        round();
    }
    until(|| server.owned(), |&owned| owned == 0);
    until(|| server.server.connections.len(), |&left| left == 0);
    until(|| held_by(server.address.port()), |&held| held == 0);
}

/// Sockets with this local port that a process holds, listeners aside (`proc_pid_net(5)`): what
/// the budget counts, as the kernel sees it, undisturbed by the tests beside this one.
fn held_by(port: u16) -> usize {
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let local = format!(":{port:04X}");
    let held = |line: &&str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        fields[1].ends_with(&local) && fields[3] != "0A" && fields[9] != "0"
    };
    table.lines().skip(1).filter(held).count()
}

#[test]
fn refused_early_while_sending_is_no_reset() {
    let server = TestServer::plain();
    let body = "x".repeat(4 << 20);
    for _ in 0..20 {
        let mut stream = TcpStream::connect(server.address).unwrap();
        let head = server.head("POST", "/nothing");
        let sent: io::Result<()> = stream
            .write_all(format!("{head}content-length: {}\r\n\r\n", body.len()).as_bytes())
            .and_then(|()| stream.write_all(body.as_bytes()));
        sent.unwrap();
        let mut client = Client::over(stream);
        let reply = client.reply().unwrap();
        reply.problem(401);
        assert!(reply.closes());
        client.assert_closed();
    }
}

#[test]
fn load_moves_to_another_server_without_a_reset() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let first = TestServer::on(listener.try_clone().unwrap());
    let second = TestServer::on(listener);
    let request = first.get("/late/1");
    let stop = AtomicBool::new(false);
    let total = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..16)
            .map(|index| {
                let (request, stop, total) = (&request, &stop, &total);
                scope.spawn(move || {
                    let mut client = Client::connect(address);
                    while !stop.load(Ordering::Relaxed) {
                        client.send(request);
                        let reply = client.reply().unwrap();
                        assert_eq!(reply.status, 200);
                        total.fetch_add(1, Ordering::Relaxed);
                        // Half of them make a new connection each time.
                        if reply.closes() || index % 2 == 0 {
                            client = Client::connect(address);
                        }
                    }
                })
            })
            .collect();
        let rounds = |count: usize| {
            let target = total.load(Ordering::Relaxed) + count;
            until(|| total.load(Ordering::Relaxed), |&now| now >= target);
        };
        rounds(2000);
        until(|| (first.owned(), second.owned()), |&(one, other)| one > 0 && other > 0);
        assert_eq!(first.drain(DRAIN_TIMEOUT), 0);
        assert_eq!(first.owned(), 0);
        rounds(2000);
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().unwrap();
        }
    });
}
