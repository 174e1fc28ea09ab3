//! What one address does takes the service from nobody else.

use std::{
    io::{ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use evonic_tests::{
    http::{Answer, Connection, TIMEOUT, encode},
    pair::{NO_LIMITS, Options, Pair},
    size,
};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use serde_json::json;

/// The most that an attack may multiply the slowest answers by.
const RATIO: u32 = 5;

/// Below this a ratio says nothing: what a busy machine adds to any answer.
const FLOOR: Duration = Duration::from_millis(4);

/// How often a hostile client comes again that was thrown out.
const AGAIN: Duration = Duration::from_millis(500);

/// A connection from an address of this machine.
fn tcp_from(last: u8, to: SocketAddr) -> std::io::Result<TcpStream> {
    let from = SocketAddr::new(IpAddr::from(Ipv4Addr::new(127, 0, 0, last)), 0);
    let descriptor = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&descriptor, &from)?;
    connect(&descriptor, &to)?;
    let stream = TcpStream::from(descriptor);
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// What a hostile client sends before it falls silent.
struct Hostile {
    requests: Vec<Vec<u8>>,
    address: SocketAddr,
    came: AtomicU64,
    over: AtomicBool,
}

impl Hostile {
    /// With a key that may use one agent, as an agent's own command may have one.
    fn new(pair: &Pair) -> Self {
        let body = json!({"name": "hostile", "scope": "run", "agents": ["runbook"]});
        let key = pair.expect(201, "POST", "/api/v1/keys", Some(&body));
        let bearer = format!("Bearer {}", key["secret"].as_str().expect("a secret"));
        let session = pair.session("runbook");
        let path = |what: &str| format!("/api/v1/sessions/{session}/{what}");
        let idle = encode("GET", "/livez", &[], None);
        let headers = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n".to_vec();
        let shown = [("Authorization", bearer.as_str())];
        let mut body = encode("POST", &path("messages"), &shown, Some(&json!({"content": "x"})));
        body.pop();
        let stream = encode("GET", &path("events"), &shown, None);
        Self {
            requests: vec![idle, headers, body, stream],
            address: pair.address(),
            came: AtomicU64::new(0),
            over: AtomicBool::new(false),
        }
    }

    /// Holds so many connections, each of which sends and reads nothing, and comes again when it
    /// is closed.
    fn attack(&self, connections: u64) {
        let mut held: Vec<(Option<TcpStream>, Instant)> =
            (0..connections).map(|_| (None, Instant::now() - AGAIN)).collect();
        while !self.over.load(Ordering::Relaxed) {
            for (number, (stream, came)) in held.iter_mut().enumerate() {
                if stream.as_ref().is_some_and(is_closed) {
                    *stream = None;
                }
                if stream.is_none() && came.elapsed() >= AGAIN {
                    *came = Instant::now();
                    *stream = self.come(number);
                }
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    fn come(&self, number: usize) -> Option<TcpStream> {
        let mut stream = tcp_from(2, self.address).ok()?;
        stream.write_all(&self.requests[number % self.requests.len()]).ok()?;
        stream.set_nonblocking(true).ok()?;
        self.came.fetch_add(1, Ordering::Relaxed);
        Some(stream)
    }
}

/// Ends the attack, also when a test fails.
struct Ending<'a>(&'a Hostile);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Relaxed);
    }
}

/// Looks, but takes nothing.
fn is_closed(stream: &TcpStream) -> bool {
    let mut byte = [0];
    match stream.peek(&mut byte) {
        Ok(0) => true,
        Ok(_) => false,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

/// Somebody else, who comes anew for each request.
struct Other {
    name: &'static str,
    ask: Box<dyn Fn() -> Answer>,
}

fn others(pair: &Pair) -> Vec<Other> {
    let (address, key) = (pair.address(), pair.admin_key());
    let socket = pair.runtime_dir().join("api.sock");
    let over_tcp = move |last: u8| {
        let stream = tcp_from(last, address).expect("a connection");
        stream.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
        Connection::over(Box::new(stream))
    };
    let get = |mut connection: Connection, path: &str| {
        connection.request("GET", path, &[], None).expect("an answer")
    };
    let unix_key = key.clone();
    vec![
        Other { name: "another address", ask: Box::new(move || get(over_tcp(3), "/livez")) },
        Other {
            name: "a key",
            ask: Box::new(move || get(over_tcp(4).showing(&key), "/api/v1/agents")),
        },
        Other {
            name: "the Unix socket",
            ask: Box::new(move || {
                let connection = Connection::unix(&socket).expect("a connection");
                get(connection.showing(&unix_key), "/api/v1/agents")
            }),
        },
    ]
}

/// The time below which 99 of a hundred answers come, for each.
fn p99(others: &[Other], requests: u64) -> Vec<Duration> {
    let mut samples = vec![Vec::new(); others.len()];
    for _ in 0..requests {
        for (other, samples) in others.iter().zip(&mut samples) {
            let began = Instant::now();
            let answer = (other.ask)();
            samples.push(began.elapsed());
            assert_eq!(answer.status, 200, "{}: {}", other.name, answer.text());
        }
    }
    samples.iter_mut().map(|samples| size::quantile(samples, 0.99)).collect()
}

#[test]
fn hostile_connections_of_one_address_slow_nobody_else() {
    let connections = size::of("hostile", 200, 1000);
    let requests = size::of("others", 300, 1000);
    let pair = Pair::start(&Options::config(NO_LIMITS));
    let (others, hostile) = (others(&pair), Hostile::new(&pair));
    let control = p99(&others, requests);
    let attacked = std::thread::scope(|scope| {
        scope.spawn(|| hostile.attack(connections));
        let _end = Ending(&hostile);
        let began = Instant::now();
        while hostile.came.load(Ordering::Relaxed) < connections {
            assert!(began.elapsed() < Duration::from_secs(60), "they do not all come");
            std::thread::park_timeout(Duration::from_millis(10));
        }
        p99(&others, requests)
    });
    println!("{connections} hostile connections, which came {} times:", hostile.came.into_inner());
    for ((other, control), attacked) in others.iter().zip(&control).zip(&attacked) {
        let figures = format!("{}, {}", size::ms(*control), size::ms(*attacked));
        size::report(&format!("p99 of {}, alone and attacked", other.name), figures, "ms");
    }
    for ((other, control), attacked) in others.iter().zip(control).zip(attacked) {
        let bound = control.max(FLOOR) * RATIO;
        assert!(attacked <= bound, "{}: {attacked:?} is above {bound:?}", other.name);
    }
}

/// The idle connections alone that shut everybody out before, by the Unix socket too.
#[test]
fn idle_connections_of_one_address_shut_nobody_out() {
    let pair = Pair::start(&Options::config(NO_LIMITS));
    let others = others(&pair);
    let mut held = Vec::new();
    for _ in 0..240 {
        let mut stream = tcp_from(2, pair.address()).expect("a connection");
        stream.write_all(&encode("GET", "/livez", &[], None)).expect("room for a request");
        let mut first = [0];
        stream.read_exact(&mut first).expect("an answer");
        held.push(stream);
    }
    for other in &others {
        assert_eq!((other.ask)().status, 200, "{}", other.name);
    }
    drop(held);
}
