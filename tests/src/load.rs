//! Many clients at once, and what they saw.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    http::{Connection, EventStream, Failure},
    poll,
};

/// What clients saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests answered in full with the status they should have.
    pub answered: u64,
    /// Requests answered with another status.
    pub unexpected: u64,
    /// Connections refused.
    pub refused: u64,
    /// Connections reset.
    pub reset: u64,
    /// Answers cut short.
    pub cut_short: u64,
    /// Of the two above: answers of finished handlers, which had begun to come. Events not
    /// counted.
    pub torn: u64,
    /// Requests without an answer in time, or with one that is not HTTP.
    pub other: u64,
    /// Events read.
    pub events: u64,
    /// Events that were missing, double, or differed from the stored ones.
    pub events_wrong: u64,
    /// The slowest answer.
    pub slowest: Duration,
}

impl Tally {
    /// Counts a failure.
    pub fn fail(&mut self, failure: Failure) {
        match failure {
            Failure::Refused => self.refused += 1,
            Failure::Reset => self.reset += 1,
            Failure::CutShort => self.cut_short += 1,
            Failure::Timeout | Failure::Malformed => self.other += 1,
        }
    }

    /// Everything that a client could notice.
    #[must_use]
    pub const fn faults(&self) -> u64 {
        self.unexpected
            + self.refused
            + self.reset
            + self.cut_short
            + self.other
            + self.events_wrong
    }

    fn add(&mut self, other: &Self) {
        self.answered += other.answered;
        self.unexpected += other.unexpected;
        self.refused += other.refused;
        self.reset += other.reset;
        self.cut_short += other.cut_short;
        self.torn += other.torn;
        self.other += other.other;
        self.events += other.events;
        self.events_wrong += other.events_wrong;
        self.slowest = self.slowest.max(other.slowest);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} answered, {} refused, {} reset, {} cut short ({} in an answer), {} other; \
             {} events, {} wrong; slowest {:.0} ms",
            self.answered,
            self.refused,
            self.reset,
            self.cut_short,
            self.torn,
            self.unexpected + self.other,
            self.events,
            self.events_wrong,
            self.slowest.as_secs_f64() * 1e3,
        )
    }
}

/// How a client behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// A connection for each request.
    Fresh,
    /// One connection for as long as the server keeps it.
    KeepAlive,
    /// A session with turns of its own, followed as an event stream that is resumed.
    Events,
}

/// How far the clients are.
#[derive(Default)]
struct Progress {
    over: AtomicBool,
    begun: AtomicUsize,
}

impl Progress {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Counts a client that has something to show, once.
    fn count(&self, shown: bool, counted: &mut bool) {
        if shown && !std::mem::replace(counted, true) {
            self.begun.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Running clients.
pub struct Load {
    progress: Arc<Progress>,
    clients: Vec<JoinHandle<Tally>>,
}

impl Load {
    /// Starts `count` clients, a third of each kind.
    #[must_use]
    pub fn mixed(address: SocketAddr, count: usize) -> Self {
        let kinds = [Client::Fresh, Client::KeepAlive, Client::Events];
        Self::start(address, (0..count).map(|n| kinds[n % kinds.len()]))
    }

    /// The same; returns when every client was answered, and those of events saw a turn end.
    ///
    /// # Panics
    /// When that does not come.
    #[must_use]
    pub fn flowing(address: SocketAddr, count: usize) -> Self {
        let load = Self::mixed(address, count);
        poll::until(
            "every client is answered",
            Duration::from_secs(60),
            || load.progress.begun.load(Ordering::Relaxed),
            |&begun| (begun == count).then_some(()),
        );
        load
    }

    /// Starts these clients.
    #[must_use]
    pub fn start(address: SocketAddr, clients: impl Iterator<Item = Client>) -> Self {
        let progress = Arc::new(Progress::default());
        let clients = clients
            .map(|client| {
                let progress = Arc::clone(&progress);
                std::thread::spawn(move || match client {
                    Client::Fresh => fresh(address, &progress),
                    Client::KeepAlive => keep_alive(address, &progress),
                    Client::Events => events(address, &progress),
                })
            })
            .collect();
        Self { progress, clients }
    }

    /// Stops every client; the sum of what they saw.
    ///
    /// # Panics
    /// When a client panicked.
    #[must_use]
    pub fn finish(self) -> Tally {
        self.progress.over.store(true, Ordering::Relaxed);
        let mut sum = Tally::default();
        for client in self.clients {
            sum.add(&client.join().expect("a client does not panic"));
        }
        sum
    }
}

const READ: &str = "/api/v1/agents?limit=5";

/// Asks once, on this connection or a new one; the connection, where it may be used again.
fn ask(
    tally: &mut Tally,
    address: SocketAddr,
    kept: Option<Connection>,
    headers: &[(&str, &str)],
) -> Option<Connection> {
    let began = Instant::now();
    let mut connection = match kept.map_or_else(|| Connection::tcp(address), Ok) {
        Ok(connection) => connection,
        Err(failure) => {
            tally.fail(failure);
            return None;
        }
    };
    let answer = connection.request("GET", READ, headers, None);
    tally.slowest = tally.slowest.max(began.elapsed());
    match answer {
        Ok(answer) if answer.status == 200 => tally.answered += 1,
        Ok(_) => tally.unexpected += 1,
        Err(failure) => {
            tally.torn += u64::from(connection.has_begun());
            tally.fail(failure);
            return None;
        }
    }
    (!connection.is_closing()).then_some(connection)
}

fn fresh(address: SocketAddr, progress: &Progress) -> Tally {
    let mut tally = Tally::default();
    let mut counted = false;
    while !progress.is_over() {
        let _closed = ask(&mut tally, address, None, &[("Connection", "close")]);
        progress.count(tally.answered > 0, &mut counted);
    }
    tally
}

fn keep_alive(address: SocketAddr, progress: &Progress) -> Tally {
    let mut tally = Tally::default();
    let mut counted = false;
    let mut connection: Option<Connection> = None;
    while !progress.is_over() {
        connection = ask(&mut tally, address, connection.take(), &[]);
        progress.count(tally.answered > 0, &mut counted);
        // A client that thinks between two requests: the gap in which a careless server closes.
        std::thread::sleep(Duration::from_millis(fastrand::u64(0..20)));
    }
    tally
}

/// A runbook whose output comes in pieces.
const CHATTY: &str = "$ for i in 1 2 3 4 5; do echo line $i; sleep 0.05; done";

fn events(address: SocketAddr, progress: &Progress) -> Tally {
    let mut tally = Tally::default();
    let mut counted = false;
    let session = loop {
        match new_session(address) {
            Ok(Some(session)) => break session,
            Ok(None) => tally.unexpected += 1,
            Err(failure) => tally.fail(failure),
        }
        if progress.is_over() {
            return tally;
        }
    };
    let mut last = 0;
    let mut raw = String::new();
    while !progress.is_over() {
        match follow_a_turn(address, &session, &mut last, &mut raw, &mut tally) {
            Ok(()) => progress.count(tally.events > 0, &mut counted),
            Err(failure) => tally.fail(failure),
        }
    }
    // The stored log, read again from its beginning, must be what was received in pieces.
    match replay(address, &session, last) {
        Ok(stored) if stored == raw => {}
        Ok(_) => tally.events_wrong += 1,
        Err(failure) => tally.fail(failure),
    }
    tally
}

/// A new session; [`None`] when it was refused.
fn new_session(address: SocketAddr) -> Result<Option<String>, Failure> {
    let body = json!({"agent": "runbook"});
    let answer = Connection::tcp(address)?.request("POST", "/api/v1/sessions", &[], Some(&body))?;
    let id = (answer.status == 201).then(|| answer.json()["id"].as_str().map(str::to_owned));
    Ok(id.flatten())
}

fn follow_a_turn(
    address: SocketAddr,
    session: &str,
    last: &mut u64,
    raw: &mut String,
    tally: &mut Tally,
) -> Result<(), Failure> {
    let path = format!("/api/v1/sessions/{session}/messages");
    let body = json!({"content": CHATTY});
    let mut connection = Connection::tcp(address)?;
    let answer = connection.request("POST", &path, &[], Some(&body))?;
    if answer.status != 202 {
        tally.unexpected += 1;
        return Ok(());
    }
    tally.answered += 1;
    let turn = answer.json()["turn"]["id"].clone();
    loop {
        let mut stream = EventStream::open(Connection::tcp(address)?, session, *last)?;
        while let Some(event) = stream.next_event()? {
            tally.events += 1;
            if event.id != *last + 1 {
                tally.events_wrong += 1;
            }
            *last = event.id;
            raw.push_str(&event.raw);
            let ended =
                matches!(event.name.as_str(), "turn.completed" | "turn.failed" | "turn.cancelled");
            if ended && event.json()["turn_id"] == turn {
                if event.name != "turn.completed" {
                    tally.unexpected += 1;
                }
                return Ok(());
            }
        }
    }
}

fn replay(address: SocketAddr, session: &str, last: u64) -> Result<String, Failure> {
    let mut raw = String::new();
    let mut seen = 0;
    while seen < last {
        let mut stream = EventStream::open(Connection::tcp(address)?, session, seen)?;
        while seen < last {
            let Some(event) = stream.next_event()? else { break };
            seen = event.id;
            raw.push_str(&event.raw);
        }
    }
    Ok(raw)
}
