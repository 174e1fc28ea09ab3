//! A worker that behaves as the file named by [`BEHAVIOUR`] says.
#![allow(unsafe_code, reason = "it takes over inherited descriptors and ignores SIGTERM")]

use std::{
    collections::BTreeMap,
    env,
    io::{Read, Write},
    os::{
        fd::{FromRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    process::exit,
    time::{Duration, Instant},
};

use evonic_shared::{
    control::{FromWorker, Hello, MAX_PACKET_BYTES, PROTOCOL, Part, ToWorker, decode, encode},
    hand_over::GENERATION,
    kind::Kind,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{RecvFlags, SendFlags, recv, send},
};
use serde::{Deserialize, Serialize};

/// The variable that names the file.
pub const BEHAVIOUR: &str = "STAND_IN_BEHAVIOUR";

/// How often it beats.
pub const BEAT: Duration = Duration::from_millis(100);

/// What a stand-in does. Read once, when it starts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Behaviour {
    /// Exits with this code at once.
    pub exit_at_once: Option<i32>,
    /// Exits with this code when it has said ready.
    pub exit_when_ready: Option<i32>,
    /// Never says hello.
    pub silent: bool,
    /// Says hello with this protocol.
    pub protocol: Option<u32>,
    /// Takes a generation that much higher than the proposed one.
    pub generation_ahead: u64,
    /// Says hello, never ready.
    pub never_ready: bool,
    /// Beats this often, then no more.
    pub beats: Option<u64>,
    /// Reports this part as old from the third beat on.
    pub late: Option<Part>,
    /// Does not answer the probe.
    pub ignores_probe: bool,
    /// Neither drains nor ends on SIGTERM.
    pub deaf: bool,
    /// Sends this many senseless packets at each beat.
    pub garbage: u32,
    /// Opens this path that many times at each beat, from the third on, and keeps it open.
    pub leak: Option<(String, u32)>,
    /// Starts this command line in a session of its own when it is ready.
    pub orphan: Option<String>,
    /// Writes what it inherited to this file.
    pub report: Option<String>,
    /// Closes its control channel after the second beat.
    pub closes_control: bool,
}

/// What a stand-in found when it started.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    pub arguments: Vec<String>,
    pub environment: BTreeMap<String, String>,
    pub pid: u32,
    pub descriptors: BTreeMap<u32, String>,
}

/// The worker of the other tests: started by the supervisor, never by hand. Without a behaviour
/// it was called as a test of this program, and is none.
#[test]
fn stand_in() {
    let Ok(path) = env::var(BEHAVIOUR) else { return };
    let behaviour: Behaviour =
        serde_json::from_slice(&std::fs::read(path).unwrap()).expect("written by the harness");
    Worker::take_over(behaviour).run()
}

struct Worker {
    behaviour: Behaviour,
    control: Option<OwnedFd>,
    fd_page: OwnedFd,
    leaked: Vec<std::fs::File>,
    beats: u64,
    asked_to_drain: bool,
}

impl Worker {
    fn take_over(behaviour: Behaviour) -> Self {
        if let Some(path) = &behaviour.report {
            write_report(path);
        }
        // SAFETY: this process was started by the supervisor, which numbers its five descriptors
        // from 3 on; nothing else owns them. SIG_IGN is no handler.
        let (control, probe, fd_page) = unsafe {
            nix::sys::signal::signal(
                nix::sys::signal::Signal::SIGTERM,
                nix::sys::signal::SigHandler::SigIgn,
            )
            .unwrap();
            (OwnedFd::from_raw_fd(5), OwnedFd::from_raw_fd(6), OwnedFd::from_raw_fd(7))
        };
        if !behaviour.ignores_probe {
            std::thread::spawn(|| answer_probe(UnixStream::from(probe)));
        }
        Self {
            behaviour,
            control: Some(control),
            fd_page,
            leaked: Vec::new(),
            beats: 0,
            asked_to_drain: false,
        }
    }

    fn run(mut self) -> ! {
        if let Some(code) = self.behaviour.exit_at_once {
            exit(code);
        }
        if !self.behaviour.silent {
            self.hello();
        }
        let mut next = Instant::now();
        loop {
            if next <= Instant::now() {
                self.beat();
                next += BEAT;
            }
            self.listen(next.saturating_duration_since(Instant::now()));
            if self.asked_to_drain && !self.behaviour.deaf {
                self.say(&FromWorker::Draining);
                exit(0);
            }
        }
    }

    fn hello(&mut self) {
        let proposed: u64 = env::var(GENERATION).unwrap().parse().unwrap();
        self.say(&FromWorker::Hello(Hello {
            wants_metrics: false,
            protocol: self.behaviour.protocol.unwrap_or(PROTOCOL),
            version: "0.0.0-stand-in".into(),
            generation: proposed + self.behaviour.generation_ahead,
            kinds: Kind::ALL.iter().map(|kind| kind.name().to_owned()).collect(),
            budget: Kind::ALL.iter().map(|kind| (kind.name().to_owned(), 10)).collect(),
        }));
        if self.behaviour.never_ready {
            return;
        }
        rustix::io::pwrite(&self.fd_page, &3_u32.to_ne_bytes(), 0).unwrap();
        self.say(&FromWorker::Ready);
        if let Some(line) = &self.behaviour.orphan {
            #[expect(clippy::disallowed_methods, reason = "an orphan for the subreaper")]
            let mut child =
                std::process::Command::new("setsid").args(["sh", "-c", line]).spawn().unwrap();
            std::thread::spawn(move || child.wait());
        }
        if let Some(code) = self.behaviour.exit_when_ready {
            exit(code);
        }
    }

    fn beat(&mut self) {
        self.beats += 1;
        for _ in 0..self.behaviour.garbage {
            self.send(b"{\"type\":\"nonsense\"}");
        }
        if self.behaviour.closes_control && self.beats > 2 {
            self.control = None;
        }
        if let (3.., Some((path, count))) = (self.beats, &self.behaviour.leak) {
            let open = || std::fs::OpenOptions::new().read(true).open(path);
            self.leaked.extend((0..*count).map_while(|_| open().ok()));
        }
        if self.behaviour.silent || self.behaviour.beats.is_some_and(|most| self.beats > most) {
            return;
        }
        let age = |part| match self.behaviour.late {
            Some(late) if late == part && self.beats > 3 => 60_000,
            _ => 1,
        };
        let age_ms = Part::ALL.into_iter().map(|part| (part, age(part))).collect();
        self.say(&FromWorker::Heartbeat {
            sequence: self.beats,
            age_ms,
            sandbox: None,
            database: None,
            storage: None,
        });
    }

    fn say(&self, message: &FromWorker) {
        self.send(&encode(message));
    }

    fn send(&self, bytes: &[u8]) {
        let Some(control) = &self.control else { return };
        match send(control, bytes, SendFlags::NOSIGNAL) {
            // Full: what does not fit is lost.
            Ok(_) | Err(rustix::io::Errno::AGAIN) => {}
            Err(_) => exit(87),
        }
    }

    fn listen(&mut self, timeout: Duration) {
        let timeout = Timespec { tv_sec: 0, tv_nsec: timeout.subsec_nanos().into() };
        let Some(control) = &self.control else {
            poll(&mut [], Some(&timeout)).unwrap();
            return;
        };
        if poll(&mut [PollFd::new(control, PollFlags::IN)], Some(&timeout)).unwrap() == 0 {
            return;
        }
        let mut packet = vec![0; MAX_PACKET_BYTES];
        match recv(control, &mut packet[..], RecvFlags::empty()) {
            Ok((0, _)) | Err(_) => exit(87),
            Ok((length, _)) => {
                if let ToWorker::Drain { .. } = decode(&packet[..length]).unwrap() {
                    self.asked_to_drain = true;
                }
            }
        }
    }
}

fn answer_probe(mut stream: UnixStream) {
    stream.set_nonblocking(false).unwrap();
    let mut bytes = [0; 1024];
    while let Ok(1..) = stream.read(&mut bytes) {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n";
        if stream.write_all(answer).is_err() {
            return;
        }
    }
}

fn write_report(path: &str) {
    let descriptors = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| {
            let entry = entry.unwrap();
            let number = entry.file_name().to_str()?.parse().ok()?;
            Some((number, std::fs::read_link(entry.path()).ok()?.display().to_string()))
        })
        .collect();
    let report = Report {
        arguments: env::args().collect(),
        environment: env::vars().collect(),
        pid: std::process::id(),
        descriptors,
    };
    std::fs::write(path, serde_json::to_vec(&report).unwrap()).unwrap();
}
