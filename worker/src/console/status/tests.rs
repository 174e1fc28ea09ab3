use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write as _},
    os::unix::net::UnixListener,
    thread::JoinHandle,
};

use evonic_shared::{
    exit::ExitCode,
    reason::Reason,
    status::{
        Descriptors, ErrorCode, Exit, FORMAT, Health, Listener, Measure, PartHealth, Replacement,
        Restarts, State, Tampering, Worker, WorkerState,
    },
};

use super::{super::text::Palette, *};

/// A replacement for an unexplained rest.
pub(crate) fn replacement() -> Replacement {
    Replacement {
        at: "2026-11-23T14:03:11.250Z".to_owned(),
        generation: 16,
        pid: 4002,
        reason: Reason::FdUnexplained,
        detail: "71 descriptors unexplained, of at most 64".to_owned(),
        exit: Exit::Code { code: 0 },
        fd_open: 143,
        took_ms: 812,
        lived_seconds: 11_000.0,
        post_mortem: Some("16-fd_unexplained.json".to_owned()),
    }
}

/// A worker that begins to leak.
pub(crate) fn worker(generation: u64) -> Worker {
    let owned = [("child", 4), ("file", 0), ("http", 24), ("model", 1), ("sqlite", 5)];
    Worker {
        pid: 4711,
        generation,
        state: WorkerState::Ready,
        version: Some("0.1.0".to_owned()),
        uptime_seconds: 723.4,
        rss_bytes: 40_055_603,
        sandbox: Some("namespaces".to_owned()),
        database: None,
        storage: None,
        last_heartbeat_seconds: Some(0.42),
        health: Health { http: PartHealth::Ok, store: PartHealth::Ok, agents: PartHealth::Ok },
        fd: Descriptors {
            open: 94,
            owned: owned.map(|(kind, count)| (kind.to_owned(), count)).into(),
            baseline: Some(21),
            budget: Some(291),
            unexplained: Some(39),
            threshold: 400,
            ceiling: 1600,
            unexplained_limit: 64,
            limit: 16_384,
            per_second: 2.53,
            seconds_to_threshold: Some(121.0),
        },
    }
}

/// A pair that was restarted a few times.
pub(crate) fn status() -> Status {
    Status {
        format: FORMAT,
        version: "0.1.0".to_owned(),
        pid: 812,
        state: State::Running,
        uptime_seconds: 11_523.0,
        listeners: vec![
            Listener {
                name: "http".to_owned(),
                address: "127.0.0.1:8420".to_owned(),
                accept_queue: Some(0),
            },
            Listener {
                name: "api".to_owned(),
                address: "/run/evonic/api.sock".to_owned(),
                accept_queue: None,
            },
        ],
        worker: Some(worker(17)),
        predecessor: None,
        restarts: Restarts {
            total: 6,
            fd_unexplained: 1,
            unhealthy: 2,
            crash: 3,
            ..Restarts::default()
        },
        last_restart: Some(replacement()),
        next_start_seconds: None,
        last_error: None,
        last_tampering: None,
    }
}

fn context(columns: usize) -> ScreenContext<'static> {
    ScreenContext {
        columns,
        now: "2026-11-23T14:15:14.650Z".parse().expect("a time"),
        zone: TimeZone::UTC,
        post_mortems: Path::new("/var/lib/evonic/post-mortems"),
        culprit: None,
    }
}

#[test]
fn a_running_pair() {
    let context = ScreenContext {
        culprit: Some("tcp: 68 more than at ready, 66 to 10.0.0.7:443"),
        ..context(80)
    };
    insta::assert_snapshot!(render(&status(), &context).plain());
}

#[test]
fn tampering_is_shown_with_what_was_done() {
    let mut status = status();
    status.last_tampering = Some(Tampering {
        at: "2026-11-23T14:10:00.000Z".to_owned(),
        detail: "the mode of state_dir is 0000".to_owned(),
        measure: Measure::PutBack,
    });
    let text = render(&status, &context(80)).plain();
    let end = text.split("tampering").nth(1).expect("it is shown");
    assert!(end.contains("put back") && end.contains("the mode of state_dir is 0000"), "{text}");
    assert_eq!(render(&self::status(), &context(80)).plain().find("tampering"), None);
}

#[test]
fn a_running_pair_in_colour() {
    let screen = render(&status(), &context(80)).encode(Palette::Colours);
    insta::assert_snapshot!(screen.replace('\x1b', "^"));
}

#[test]
fn a_pair_that_was_never_restarted_on_a_narrow_terminal() {
    let mut status = status();
    status.restarts = Restarts::default();
    status.last_restart = None;
    if let Some(worker) = &mut status.worker {
        worker.fd.owned = BTreeMap::new();
        worker.fd.unexplained = Some(0);
        worker.fd.open = 21;
        worker.fd.per_second = 0.0;
        worker.fd.seconds_to_threshold = None;
    }
    insta::assert_snapshot!(render(&status, &context(40)).plain());
}

#[test]
fn a_recycling_pair() {
    let mut status = status();
    status.state = State::Recycling;
    let predecessor = Worker { state: WorkerState::Draining, ..worker(17) };
    let mut fresh = worker(18);
    fresh.uptime_seconds = 0.05;
    fresh.state = WorkerState::Starting;
    fresh.version = None;
    fresh.last_heartbeat_seconds = None;
    fresh.health =
        Health { http: PartHealth::Unknown, store: PartHealth::Unknown, agents: PartHealth::Late };
    fresh.fd.baseline = None;
    fresh.fd.budget = None;
    fresh.fd.unexplained = None;
    status.worker = Some(fresh);
    status.predecessor = Some(predecessor);
    insta::assert_snapshot!(render(&status, &context(100)).plain());
}

#[test]
fn a_crash_loop() {
    let mut status = status();
    status.state = State::CrashLoop;
    status.worker = None;
    status.next_start_seconds = Some(12.4);
    status.last_error = Some("killed by SIGSEGV 20 ms after its start".to_owned());
    status.last_restart = Some(Replacement {
        reason: Reason::Crash,
        detail: "killed by SIGSEGV".to_owned(),
        exit: Exit::Signal { signal: "SIGSEGV".to_owned(), after_grace: false },
        took_ms: 0,
        lived_seconds: 0.02,
        post_mortem: None,
        ..replacement()
    });
    status.listeners[0].accept_queue = Some(3);
    insta::assert_snapshot!(render(&status, &context(80)).plain());
}

/// A supervisor that answers the requests of one connection after the other with these lines.
pub(crate) fn supervisor(
    folder: &Path,
    connections: Vec<Vec<String>>,
) -> (PathBuf, JoinHandle<Vec<String>>) {
    let socket = folder.join("supervisor.sock");
    let listener = UnixListener::bind(&socket).expect("a socket");
    let server = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for replies in connections {
            let (stream, _) = listener.accept().expect("a client");
            let mut requests = BufReader::new(stream.try_clone().expect("a second handle"));
            for reply in replies {
                let mut line = String::new();
                requests.read_line(&mut line).expect("a request");
                asked.push(line.trim().to_owned());
                (&stream).write_all(reply.as_bytes()).expect("a reader");
            }
        }
        asked
    });
    (socket, server)
}

pub(crate) fn line(reply: &Reply) -> String {
    serde_json::to_string(reply).expect("it is JSON") + "\n"
}

#[test]
fn status_is_asked_over_the_socket() {
    let folder = tempfile::tempdir().expect("a folder");
    let replies = vec![vec![line(&Reply::Status(status()))]];
    let (socket, server) = supervisor(folder.path(), replies);
    let mut client = Supervisor::connect(&socket).expect("it listens");
    assert_eq!(ask(&mut client).expect("a status"), status());
    assert_eq!(server.join().expect("it ends"), ["{\"op\":\"status\"}"]);
}

#[test]
fn replies_that_come_in_pieces_are_put_together() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut changed = status();
    changed.state = State::Stopping;
    let two = line(&Reply::Status(status())) + &line(&Reply::Status(changed.clone()));
    let (socket, server) = supervisor(folder.path(), vec![vec![two], vec![]]);
    let mut watch = Watch::connect(&socket).expect("it listens");
    assert_eq!(watch.next().expect("the first"), status());
    assert_eq!(watch.next().expect("the second"), changed);
    server.join().expect("it ends");
    let gone = watch.next().expect_err("the supervisor is gone");
    assert_eq!(gone.exit_code(), ExitCode::Unavailable);
}

#[test]
fn refusals_and_nonsense_are_errors_with_their_code() {
    let refusal =
        |code| line(&Reply::Error { format: FORMAT, code, message: "a sentence".to_owned() });
    for (reply, expected) in [
        (refusal(ErrorCode::Forbidden), ExitCode::NoPermission),
        (refusal(ErrorCode::Unavailable), ExitCode::Unavailable),
        (refusal(ErrorCode::Malformed), ExitCode::Failure),
        ("{}\n".to_owned(), ExitCode::Software),
        (line(&Reply::Accepted { format: FORMAT, op: "drain".to_owned() }), ExitCode::Software),
        ("{\"half a line".to_owned(), ExitCode::Unavailable),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let (socket, server) = supervisor(folder.path(), vec![vec![reply.clone()]]);
        let mut client = Supervisor::connect(&socket).expect("it listens");
        let error = ask(&mut client).expect_err("it is refused");
        assert_eq!(error.exit_code(), expected, "{reply}");
        server.join().expect("it ends");
    }
}

#[test]
fn a_missing_or_dead_socket_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("supervisor.sock");
    for _ in ["missing", "dead"] {
        let error = Supervisor::connect(&socket).expect_err("nobody listens");
        let report = error.report().plain();
        assert!(report.contains("hint: start it with `systemctl start evonic`"), "{report}");
        assert_eq!(error.exit_code(), ExitCode::Unavailable);
        drop(UnixListener::bind(&socket));
    }
}

#[test]
fn a_watch_that_was_dropped_goes_on_while_there_is_a_supervisor() {
    let folder = tempfile::tempdir().expect("a folder");
    let frame = || vec![line(&Reply::Status(status()))];
    // Each watch has a connection for changes and one for questions.
    let (_, server) = supervisor(folder.path(), vec![frame(), vec![], frame(), vec![]]);
    let config = Config::defaults("/nowhere".into(), folder.path().to_owned());
    let options = StatusOptions { watch: true, ..StatusOptions::default() };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let none = crate::console::terminal::Terminal::NONE;
    let ended = run(&options, &config, &mut Console::new(&mut out, &mut err, none));
    let error = ended.expect_err("it is gone in the end");
    assert_eq!(error.exit_code(), ExitCode::Unavailable);
    assert_eq!(server.join().expect("it ends").len(), 2);
    let shown = String::from_utf8(out).expect("text");
    assert_eq!(shown.matches("evonic 0.1.0").count(), 2, "{shown}");
}

#[test]
fn the_size_of_the_database_and_a_disk_without_room_are_shown() {
    let storage = evonic_shared::store_report::StorageReport {
        database_bytes: 150 << 20,
        free_bytes: 3 << 20,
        log_bytes: 1 << 20,
        disk_free_bytes: Some(20 << 20),
        min_free_bytes: 64 << 20,
        is_low: true,
        sessions: Some(1),
        events: Some(1234),
        ..Default::default()
    };
    let worker = Worker { storage: Some(storage), ..worker(17) };
    let status = Status { worker: Some(worker), ..status() };
    let shown = render(&status, &context(100)).plain();
    for words in
        ["150.0 MiB", "3.0 MiB of it free", "1 session, 1234 events", "nothing new is accepted"]
    {
        assert!(shown.contains(words), "{words}: {shown}");
    }
}
