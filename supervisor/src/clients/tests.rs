use std::{
    io::{BufRead, BufReader, Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::PathBuf,
};

use evonic_shared::status::{MAX_REQUEST_BYTES, Request};

use super::*;

/// A status socket whose loop is the test: every request is answered with its own name.
struct Room {
    _folder: tempfile::TempDir,
    path: PathBuf,
    poller: Poller,
    clients: Clients,
    now: Instant,
}

impl Room {
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
            if ready.is_empty() && !self.clients.has_question() {
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
            while let Some(question) = self.clients.next_question(&self.poller) {
                let reply = match question.asked {
                    Asked::Request(Request::Watch) => {
                        self.clients.watch(&self.poller, question.serial, self.now);
                        continue;
                    }
                    Asked::Request(request) => {
                        Reply::Accepted { format: FORMAT, op: format!("{request:?}") }
                    }
                    Asked::Refused { code, message } => error(code, message),
                };
                self.clients.reply(&self.poller, question.serial, &reply, self.now);
            }
        }
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
        other => panic!("{other:?}"),
    }
}

fn ops(lines: &[String]) -> Vec<String> {
    lines.iter().map(|line| op(line)).collect()
}

#[test]
fn requests_are_lines_and_the_last_needs_no_end() {
    let mut room = Room::open();
    assert_eq!(ops(&room.say(b"{\"op\":\"status\"}\n{\"op\":\"census\"}\n")), ["Status", "Census"]);
    assert_eq!(ops(&room.say(b"{\"op\":\"history\",\"limit\":3}")), ["History { limit: Some(3) }"]);
    assert_eq!(ops(&room.say(b"")), ["Status"], "silence asks for the status");
    assert_eq!(ops(&room.say(b"\n\n")), ["Status"], "and empty lines are silence");
    assert_eq!(ops(&room.say(b"\n{\"op\":\"drain\"}\n\n")), ["Drain"]);
    assert!(room.clients.all.is_empty(), "every one of them is gone");
}

#[test]
fn nonsense_is_refused_and_the_client_may_go_on() {
    let mut room = Room::open();
    let nonsense: [&[u8]; 6] =
        [b"garbage", b"{}", b"[1,2]", b"{\"op\":\"reboot\"}", b"\xff\xfe\x00", b"GET / HTTP/1.1\r"];
    for bytes in nonsense {
        let mut line = bytes.to_vec();
        line.extend(b"\n{\"op\":\"restart\"}\n");
        assert_eq!(ops(&room.say(&line)), ["Malformed", "Restart"], "{bytes:?}");
    }
}

#[test]
fn a_line_without_end_is_refused_early() {
    let mut room = Room::open();
    let longest = vec![b' '; MAX_REQUEST_BYTES - 15];
    let fits = [&longest[..], b"{\"op\":\"status\"}\n"].concat();
    assert_eq!(fits.len(), MAX_REQUEST_BYTES + 1);
    assert_eq!(ops(&room.say(&fits)), ["Status"]);
    assert_eq!(ops(&room.say(&[b" ", &fits[..]].concat())), ["TooLong"]);

    let mut stream = room.connect();
    stream.set_nonblocking(true).unwrap();
    let flood = [b'x'; 64 * 1024];
    let mut sent = 0;
    while sent < 10 * 1024 * 1024 {
        match stream.write(&flood) {
            Ok(length) => sent += length,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => room.turn(),
            Err(_) => break,
        }
    }
    assert!(sent < 1024 * 1024, "10 MB are not swallowed: {sent}");
    stream.set_nonblocking(false).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    assert_eq!(op(&line), "TooLong");
    assert!(room.clients.all.is_empty());
}

#[test]
fn an_unread_reply_holds_up_its_own_reader_only_and_not_for_ever() {
    let mut room = Room::open();
    let mut deaf = room.connect();
    deaf.set_nonblocking(true).unwrap();
    let requests = b"{\"op\":\"status\"}\n".repeat(256);
    // Until our replies fill its socket, we stop reading, and its requests fill ours.
    while deaf.write(&requests).is_ok() {
        room.turn();
    }
    assert_eq!(ops(&room.say(b"")), ["Status"], "others are served");
    assert!(room.clients.all[0].is_stuck(PATIENCE * 2, PATIENCE));
    room.now = PATIENCE * 2;
    room.clients.expire(&room.poller, room.now);
    assert!(room.clients.all.is_empty());
}

#[test]
fn the_quietest_makes_room() {
    let mut room = Room::open();
    let mut all: Vec<UnixStream> = Vec::new();
    for number in 0..MAX_CLIENTS as u64 {
        room.now = Duration::from_secs(number);
        all.push(room.connect());
    }
    room.now = Duration::from_secs(100);
    all[0].write_all(b"{\"op\":\"status\"}\n").unwrap();
    room.turn();
    assert_eq!(ops(&room.say(b"")), ["Status"], "a new one is served");
    assert_eq!(room.clients.all.len(), MAX_CLIENTS - 1);
    assert_eq!(rest(all.remove(1)), [""; 0], "the one that was quiet for longest is gone");
    let mut line = String::new();
    BufReader::new(&all[0]).read_line(&mut line).unwrap();
    assert_eq!(op(&line), "Status");
}

#[test]
fn watchers_are_bounded_and_a_slow_one_skips() {
    let mut room = Room::open();
    let mut watchers: Vec<UnixStream> = (0..MAX_WATCHERS).map(|_| room.connect()).collect();
    for watcher in &mut watchers {
        watcher.write_all(b"{\"op\":\"watch\"}\n").unwrap();
    }
    room.turn();
    assert_eq!(ops(&room.say(b"{\"op\":\"watch\"}\n")), ["Unavailable"]);

    let status = crate::status::example();
    assert!(room.clients.wants_status(), "one at once");
    room.clients.show(&room.poller, &status, room.now);
    assert!(!room.clients.wants_status(), "then only at a change");
    for _ in 0..10_000 {
        room.clients.status_changed();
        room.clients.show(&room.poller, &status, room.now);
    }
    let mut reader = BufReader::new(watchers.remove(0));
    let mut line = String::new();
    for _ in 0..3 {
        line.clear();
        reader.read_line(&mut line).unwrap();
        assert_eq!(serde_json::from_str::<Reply>(&line).unwrap(), Reply::Status(status.clone()));
    }
    // Half-closed, it goes on watching; closed, it is gone.
    reader.get_ref().shutdown(Shutdown::Write).unwrap();
    room.turn();
    assert_eq!(room.clients.all.len(), MAX_WATCHERS);
    drop(reader);
    drop(watchers);
    room.turn();
    assert!(room.clients.all.is_empty());
}

#[test]
fn a_refusing_system_is_not_asked_again_at_once() {
    let mut room = Room::open();
    room.clients.pause(&room.poller, room.now);
    let waiting = room.connect();
    assert!(room.clients.all.is_empty(), "the turn neither accepts nor spins");
    room.now = PAUSE;
    room.clients.expire(&room.poller, room.now);
    room.turn();
    assert_eq!(room.clients.all.len(), 1);
    drop(waiting);
}

#[test]
fn the_own_user_may_command() {
    let mut room = Room::open();
    let _stream = room.connect();
    let uid = rustix::process::geteuid().as_raw();
    assert_eq!(room.clients.all[0].permission(), Permission::Command { uid });
}
