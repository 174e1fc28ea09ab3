use std::{
    io::{BufRead, BufReader, Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::PathBuf,
};

use evonic_shared::status::{MAX_REQUEST_BYTES, Request, Restarts, State};

use super::*;

/// A status without a worker.
fn example() -> Status {
    Status {
        format: FORMAT,
        version: "0.0.0".into(),
        pid: 1,
        state: State::Starting,
        uptime_seconds: 1.5,
        listeners: vec![],
        worker: None,
        predecessor: None,
        restarts: Restarts::default(),
        last_restart: None,
        next_start_seconds: None,
        last_error: Some("nothing yet".into()),
        last_tampering: None,
    }
}

/// A status socket whose loop is the test: every request is answered with its own name.
struct Server {
    _folder: tempfile::TempDir,
    path: PathBuf,
    poller: Poller,
    clients: Clients,
    now: Instant,
}

impl Server {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        let poller = Poller::open().unwrap();
        let clients = Clients::new(listener, &poller).unwrap();
        Self { _folder: folder, path, poller, clients, now: Duration::ZERO }
    }

    fn connect(&mut self) -> UnixStream {
        let stream = UnixStream::connect(&self.path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        self.turn();
        stream
    }

    /// Everything that is ready, until nothing is.
    fn turn(&mut self) {
        let mut ready = Vec::new();
        loop {
            self.poller.wait(Some(Duration::ZERO), &mut ready).unwrap();
            if ready.is_empty() && self.clients.due_at().is_none() {
                return;
            }
            for &(token, events) in &ready {
                match token {
                    Token::Listener => self.clients.accept(&self.poller, self.now),
                    Token::Client(serial) => {
                        self.clients.ready(&self.poller, serial, events, self.now);
                    }
                    _ => unreachable!("only clients are watched"),
                }
            }
            while let Some((serial, _, request)) = self.clients.next_request(&self.poller, self.now)
            {
                let reply = match request {
                    Ok(RequestLine { request: Request::Watch, .. }) => {
                        self.clients.watch(&self.poller, serial, self.now);
                        continue;
                    }
                    Ok(RequestLine { request: Request::Restart { wait: true }, .. }) => {
                        let until = self.now + Duration::from_secs(60);
                        let wait = Wait { op: "restart", generation: 7, until };
                        self.clients.wait(&self.poller, serial, wait, self.now);
                        continue;
                    }
                    Ok(RequestLine { request, .. }) => {
                        Reply::Accepted { format: FORMAT, op: format!("{request:?}") }
                    }
                    Err(refusal) => refusal,
                };
                self.clients.reply(&self.poller, serial, &reply, self.now);
            }
        }
    }

    fn expire_at(&mut self, now: Instant) {
        self.now = now;
        self.clients.expire(&self.poller, now, Some("no disk"));
    }

    /// Says this, half-closes, and returns all that comes back.
    fn say(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut stream = self.connect();
        stream.write_all(bytes).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        self.turn();
        rest(stream)
    }
}

fn rest(mut stream: UnixStream) -> Vec<String> {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn op(line: &str) -> String {
    match serde_json::from_str(line).unwrap() {
        Reply::Accepted { op, .. } => op,
        Reply::Error { code, .. } => format!("{code:?}"),
        Reply::Replaced { op, generation, .. } => format!("{op} {generation}"),
        other => panic!("{other:?}"),
    }
}

fn ops(lines: &[String]) -> Vec<String> {
    lines.iter().map(|line| op(line)).collect()
}

#[test]
fn requests_are_lines_and_the_last_needs_no_end() {
    let mut server = Server::open();
    assert_eq!(
        ops(&server.say(b"{\"op\":\"status\"}\n{\"op\":\"census\"}\n")),
        ["Status", "Census"]
    );
    assert_eq!(
        ops(&server.say(b"{\"op\":\"history\",\"limit\":3}")),
        ["History { limit: Some(3) }"]
    );
    assert_eq!(ops(&server.say(b"")), ["Status"], "silence asks for the status");
    assert_eq!(ops(&server.say(b"\n\n")), ["Status"], "and empty lines are silence");
    assert_eq!(ops(&server.say(b"\n{\"op\":\"drain\"}\n\n")), ["Drain"]);
    assert!(server.clients.all.is_empty(), "every one of them is gone");
}

#[test]
fn nonsense_is_refused_and_the_client_may_go_on() {
    let mut server = Server::open();
    let nonsense: [&[u8]; 6] =
        [b"garbage", b"{}", b"[1,2]", b"{\"op\":\"reboot\"}", b"\xff\xfe\x00", b"GET / HTTP/1.1\r"];
    for bytes in nonsense {
        let mut line = bytes.to_vec();
        line.extend(b"\n{\"op\":\"restart\"}\n");
        assert_eq!(ops(&server.say(&line)), ["Malformed", "Restart { wait: false }"], "{bytes:?}");
    }
}

#[test]
fn a_line_without_end_is_refused_early() {
    let mut server = Server::open();
    let longest = vec![b' '; MAX_REQUEST_BYTES - 15];
    let fits = [&longest[..], b"{\"op\":\"status\"}\n"].concat();
    assert_eq!(fits.len(), MAX_REQUEST_BYTES + 1);
    assert_eq!(ops(&server.say(&fits)), ["Status"]);
    assert_eq!(ops(&server.say(&[b" ", &fits[..]].concat())), ["TooLong"]);

    let mut stream = server.connect();
    stream.set_nonblocking(true).unwrap();
    let flood = [b'x'; 64 * 1024];
    let mut sent = 0;
    while sent < 10 * 1024 * 1024 {
        match stream.write(&flood) {
            Ok(length) => sent += length,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => server.turn(),
            Err(_) => break,
        }
    }
    assert!(sent < 1024 * 1024, "10 MB are not swallowed: {sent}");
    stream.set_nonblocking(false).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    assert_eq!(op(&line), "TooLong");
    assert!(server.clients.all.is_empty());
}

#[test]
fn an_unread_reply_holds_up_its_own_reader_only_and_not_for_ever() {
    let mut server = Server::open();
    let mut deaf = server.connect();
    deaf.set_nonblocking(true).unwrap();
    let requests = b"{\"op\":\"status\"}\n".repeat(256);
    // Until our replies fill its socket, we stop reading, and its requests fill ours.
    while deaf.write(&requests).is_ok() {
        server.turn();
    }
    assert_eq!(ops(&server.say(b"")), ["Status"], "others are served");
    assert_eq!(server.clients.expires_at(), Some(REPLY_TIMEOUT));
    server.expire_at(REPLY_TIMEOUT);
    assert!(server.clients.all.is_empty());
}

#[test]
fn the_quietest_makes_server() {
    let mut server = Server::open();
    let mut all: Vec<UnixStream> = Vec::new();
    for number in 0..MAX_CLIENTS as u64 {
        server.now = Duration::from_secs(number);
        all.push(server.connect());
    }
    server.now = Duration::from_secs(100);
    all[0].write_all(b"{\"op\":\"status\"}\n").unwrap();
    server.turn();
    assert_eq!(ops(&server.say(b"")), ["Status"], "a new one is served");
    assert_eq!(server.clients.all.len(), MAX_CLIENTS - 1);
    assert_eq!(rest(all.remove(1)), [""; 0], "the one that was quiet for longest is gone");
    let mut line = String::new();
    BufReader::new(&all[0]).read_line(&mut line).unwrap();
    assert_eq!(op(&line), "Status");
}

#[test]
fn watchers_are_bounded_and_a_slow_one_skips() {
    let mut server = Server::open();
    let mut watchers: Vec<UnixStream> = (0..MAX_WATCHERS).map(|_| server.connect()).collect();
    for watcher in &mut watchers {
        watcher.write_all(b"{\"op\":\"watch\"}\n").unwrap();
    }
    server.turn();
    assert_eq!(ops(&server.say(b"{\"op\":\"watch\"}\n")), ["Unavailable"]);

    let status = example();
    assert!(server.clients.wants_status(), "one at once");
    server.clients.show(&server.poller, &status, server.now);
    assert!(!server.clients.wants_status(), "then only at a change");
    // As many as the least buffer holds, and many more.
    for _ in 0..1000 {
        server.clients.status_changed();
        server.clients.show(&server.poller, &status, server.now);
    }
    assert_eq!(
        server.clients.expires_at(),
        Some(REPLY_TIMEOUT),
        "one that reads nothing is noticed"
    );
    let mut reader = BufReader::new(watchers.remove(0));
    let mut line = String::new();
    for _ in 0..3 {
        line.clear();
        reader.read_line(&mut line).unwrap();
        assert_eq!(serde_json::from_str::<Reply>(&line).unwrap(), Reply::Status(status.clone()));
    }
    // Half-closed, it goes on watching; closed, it is gone.
    reader.get_ref().shutdown(Shutdown::Write).unwrap();
    server.turn();
    assert_eq!(server.clients.all.len(), MAX_WATCHERS);
    drop(reader);
    drop(watchers);
    server.turn();
    assert!(server.clients.all.is_empty());
}

#[test]
fn a_refusing_system_is_not_asked_again_at_once() {
    let mut server = Server::open();
    server.clients.pause(&server.poller, server.now);
    let waiting = server.connect();
    assert!(server.clients.all.is_empty(), "the turn neither accepts nor spins");
    server.expire_at(ACCEPT_PAUSE);
    server.turn();
    assert_eq!(server.clients.all.len(), 1);
    drop(waiting);
}

#[test]
fn the_user_is_the_kernel_s_word() {
    let mut server = Server::open();
    let _stream = server.connect();
    let uid = rustix::process::geteuid().as_raw();
    assert_eq!(server.clients.all[0].uid, Some(uid));
}

#[test]
fn a_user_who_has_used_up_its_share_waits_and_is_answered_later() {
    let mut server = Server::open();
    let mut stream = server.connect();
    server.clients.charge(server.clients.all[0].uid, Duration::from_secs(1), server.now);
    stream.write_all(b"{\"op\":\"census\"}\n").unwrap();
    let mut ready = Vec::new();
    server.poller.wait(None, &mut ready).unwrap();
    server.clients.ready(&server.poller, 0, EventFlags::IN, server.now);
    assert_eq!(server.clients.next_request(&server.poller, server.now), None);
    let due = server.clients.due_at().unwrap();
    assert!(due > Duration::from_secs(9) && due <= Duration::from_secs(10), "{due:?}");
    server.now = due;
    server.turn();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    assert_eq!(op(&line), "Census");
}

#[test]
fn the_user_with_most_clients_makes_room() {
    let mut server = Server::open();
    let _streams: Vec<_> = (0..3).map(|_| server.connect()).collect();
    server.clients.all[0].uid = Some(7);
    server.clients.make_room();
    let left: Vec<_> = server.clients.all.iter().map(|client| client.serial).collect();
    assert_eq!(left, [0, 2], "although the first has been quiet for longest");
}

const WAITING: &[u8] = b"{\"op\":\"restart\",\"wait\":true}\n";

fn line_of(stream: &UnixStream) -> String {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line
}

#[test]
fn watchers_that_read_nothing_leave_and_keep_nobody_out_meanwhile() {
    let mut server = Server::open();
    let mut deaf: Vec<UnixStream> = (0..MAX_WATCHERS).map(|_| server.connect()).collect();
    deaf.iter_mut().for_each(|watcher| watcher.write_all(b"{\"op\":\"watch\"}\n").unwrap());
    server.turn();
    let mut waiting = Vec::new();
    for _ in 0..MAX_WAITING {
        let mut client = server.connect();
        client.write_all(WAITING).unwrap();
        server.turn();
        waiting.push(client);
    }
    assert_eq!(ops(&server.say(WAITING)), ["Unavailable"], "one too many");
    let mut asking: Vec<UnixStream> = (0..MAX_CLIENTS).map(|_| server.connect()).collect();
    asking.iter_mut().for_each(|client| client.write_all(b"{\"op\":\"census\"}\n").unwrap());
    server.turn();
    assert!(asking.iter().all(|client| op(&line_of(client)) == "Census"));
    for second in 0..60 {
        server.now = Duration::from_secs(second);
        server.clients.status_changed();
        server.clients.show(&server.poller, &example(), server.now);
        server.clients.expire(&server.poller, server.now, None);
    }
    assert!(!server.clients.all.iter().any(Client::watches), "they have read nothing for a minute");
    server.clients.answer_waiting(&server.poller, 8, &Ok(()), server.now);
    assert!(waiting.iter().all(|client| op(&line_of(client)) == "restart 8"));
}

#[test]
fn who_waits_is_answered_once_and_at_the_latest_when_its_time_is_over() {
    let mut server = Server::open();
    let mut streams: Vec<UnixStream> = (0..3).map(|_| server.connect()).collect();
    let wait = |server: &mut Server, stream: &mut UnixStream| {
        stream.write_all(WAITING).unwrap();
        server.turn();
    };
    streams.iter_mut().for_each(|stream| wait(&mut server, stream));
    drop(streams.pop());
    server.turn();
    assert_eq!(server.clients.all.len(), 2, "one has left");
    server.clients.answer_waiting(&server.poller, 6, &Ok(()), server.now);
    assert!(server.clients.all.iter().all(|client| client.waits().is_some()), "not theirs");
    server.clients.answer_waiting(&server.poller, 7, &Err("no key".to_owned()), server.now);
    assert!(streams.iter().all(|stream| line_of(stream).contains("no key")));

    wait(&mut server, &mut streams[0]);
    assert_eq!(server.clients.expires_at(), Some(Duration::from_secs(60)));
    server.expire_at(Duration::from_secs(60));
    assert!(line_of(&streams[0]).contains("no new worker became ready in time: no disk"));
    wait(&mut server, &mut streams[0]);
    server.clients.refuse_waiting(&server.poller, "it stops", server.now);
    assert!(line_of(&streams[0]).contains("it stops"));
    assert_eq!(server.clients.expires_at(), None);
}
