//! The supervisor beside systemd and over its own restart.

use std::{
    collections::VecDeque,
    io::IoSliceMut,
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use evonic_shared::{reason::Reason, status::State};
use evonic_tests::{
    http::Connection,
    pair::{LogTo, Options, Pair, program},
    process::is_alive,
};
use nix::sys::signal::Signal;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};

/// Reads datagrams until one has this line; every one that came before it.
fn until(socket: &UnixDatagram, wanted: &str) -> VecDeque<String> {
    let mut seen = VecDeque::new();
    let mut buffer = [0; 4096];
    let began = Instant::now();
    loop {
        if let Ok(length) = socket.recv(&mut buffer) {
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let found = message.lines().any(|line| line == wanted);
            seen.push_back(message);
            if found {
                return seen;
            }
        }
        assert!(began.elapsed() < Duration::from_secs(20), "no {wanted} in {seen:#?}");
    }
}

#[test]
fn systemd_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut options = Options::default();
    options.environment.push(("NOTIFY_SOCKET".to_owned(), path.display().to_string()));
    options.environment.push(("WATCHDOG_USEC".to_owned(), "1000000".to_owned()));
    let mut pair = Pair::launch(&options);
    until(&socket, "READY=1");
    let began = Instant::now();
    for _ in 0..3 {
        until(&socket, "WATCHDOG=1");
    }
    assert!(began.elapsed() < Duration::from_millis(2500), "the watchdog is fed in time");

    Pair::signal(pair.pid(), Signal::SIGHUP);
    until(&socket, "RELOADING=1");
    until(&socket, "READY=1");
    let replaced = pair.wait_for_successor(1);
    assert_eq!(replaced.restarts.requested, 1, "a reload replaces the worker");
    let said = pair.log();

    // A worker that systemd could take for the service must not talk to it.
    let worker = replaced.worker.expect("a worker").pid;
    let environment = std::fs::read(format!("/proc/{worker}/environ")).unwrap();
    assert!(!String::from_utf8_lossy(&environment).contains("NOTIFY_SOCKET"), "{said}");

    assert_eq!(pair.stop(), Some(0));
    let last = until(&socket, "STOPPING=1");
    let status = last.iter().flat_map(|message| message.lines()).find(|l| l.starts_with("STATUS="));
    assert!(status.is_some(), "{last:#?}");
}

/// Receives what is said until systemd would have this many descriptors; these, by name.
fn stored(socket: &UnixDatagram, count: usize) -> Vec<(String, OwnedFd)> {
    let mut kept = Vec::new();
    let began = Instant::now();
    while kept.len() < count {
        let mut text = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = rustix::net::recvmsg(
            socket,
            &mut [IoSliceMut::new(&mut text)],
            &mut control,
            RecvFlags::empty(),
        );
        let Ok(received) = received else {
            assert!(began.elapsed() < Duration::from_secs(20), "only {kept:?}");
            continue;
        };
        let text = String::from_utf8_lossy(&text[..received.bytes]).into_owned();
        let name = text.lines().find_map(|line| line.strip_prefix("FDNAME="));
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                let name = name.expect("a stored descriptor has a name").to_owned();
                kept.extend(descriptors.map(|descriptor| (name.clone(), descriptor)));
            }
        }
    }
    kept
}

#[test]
fn the_descriptor_store_keeps_the_sockets_over_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut options = Options::default();
    options.environment.push(("NOTIFY_SOCKET".to_owned(), path.display().to_string()));
    let mut pair = Pair::launch(&options);
    let kept = stored(&socket, 3);
    let names: Vec<&str> = kept.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["stored-http", "stored-api", "stored-status"]);
    pair.wait("it serves", |status| status.state == State::Running);
    let address = pair.address();

    Pair::signal(pair.pid(), Signal::SIGKILL);
    pair.wait_for_exit();
    // No worker serves now, and no client is refused.
    let waiting = std::thread::scope(|scope| {
        let waiting =
            scope.spawn(|| Connection::tcp(address).unwrap().request("GET", "/livez", &[], None));
        pair.start_again(&options, &kept);
        waiting.join().unwrap()
    });
    assert_eq!(waiting.expect("it waited").status, 200);
    assert_eq!(pair.address(), address, "the same socket, though the port was the kernel's choice");
    drop(kept);
    let kept = stored(&socket, 3);
    // What does not fit the configuration any more is closed, and forgotten.
    let file = pair.config_file();
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("127.0.0.1:0", "[::1]:0")).unwrap();
    Pair::signal(pair.pid(), Signal::SIGKILL);
    pair.wait_for_exit();
    pair.start_again(&options, &kept);
    drop(kept);
    pair.wait("it serves", |status| status.state == State::Running);
    assert!(pair.address().is_ipv6(), "{}", pair.address());
    assert!(Connection::tcp(address).is_err(), "nobody listens there any more");
}

#[test]
fn a_worker_without_its_supervisor_starts_its_drain_and_the_next_one_starts_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    // Under systemd no signal tells a worker: it finds its channel closed.
    let mut options = Options::config("[supervisor]\ngrace = \"60s\"\n");
    options.environment.push(("NOTIFY_SOCKET".to_owned(), path.display().to_string()));
    let mut pair = Pair::launch(&options);
    let kept = stored(&socket, 3);
    pair.wait("it serves", |status| status.state == State::Running);
    let (old, generation) = pair.worker();
    let turn = pair.post(&pair.session("runbook"), "$ sleep 1; echo survived");
    // An endless request: a drain waits for it until its deadline.
    let mut slow = Connection::tcp(pair.address()).unwrap();
    slow.send(
        b"POST /api/v1/sessions HTTP/1.1\r\nHost: localhost\r\n\
          Content-Type: application/json\r\nContent-Length: 4000\r\n\r\n{",
    )
    .unwrap();
    Pair::signal(pair.pid(), Signal::SIGKILL);
    pair.wait_for_exit();
    let began = Instant::now();
    pair.start_again(&options, &kept);
    drop(kept);
    let status = pair.wait("the next one serves", |status| status.state == State::Running);
    let beside = is_alive(old);
    assert!(status.worker.unwrap().generation > generation);
    evonic_tests::poll::until(
        "the old worker ends",
        Duration::from_secs(55),
        || (slow.send(b" ").is_ok(), is_alive(old)),
        |(_, alive)| (!alive).then_some(()),
    );
    let took = began.elapsed();
    println!(
        "a worker without its supervisor, of a grace of 60 s: ended after {:.1} s; {} when the \
         next one served",
        took.as_secs_f64(),
        if beside { "still there" } else { "gone" },
    );
    assert!(took < Duration::from_secs(30), "{took:?}: 5 s is what it has\n{}", pair.log());
    assert_eq!(pair.wait_for_turn(&turn)["state"], "completed");
}

#[test]
fn a_reload_with_faults_leaves_the_old_configuration_in_force() {
    let pair = Pair::start(&Options::default());
    let before = pair.worker();
    let file = pair.config_file();
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{good}\nnonsense = 1\n")).unwrap();
    match pair.ask(&serde_json::json!({"op": "reload"})).unwrap() {
        evonic_shared::status::Reply::Error { message, .. } => {
            assert!(message.contains("nonsense"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(pair.worker(), before);
    std::fs::write(&file, good).unwrap();
    pair.ask(&serde_json::json!({"op": "reload"})).unwrap();
    pair.wait_for_successor(before.1);
}

#[test]
fn history_and_generations_outlive_the_supervisor() {
    let mut pair = Pair::start(&Options::default());
    pair.kill_worker();
    let (before, generation) = (pair.history(), pair.worker().1);
    assert_eq!(before.len(), 1);
    assert_eq!(before[0].reason, Reason::Crash);
    assert_eq!(pair.stop(), Some(0));

    let mut again = Command::new(program("evonic-supervisor"))
        .arg("--config")
        .arg(pair.config_file())
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pid = again.id();
    let status = evonic_tests::poll::until(
        "the next supervisor serves",
        Duration::from_secs(20),
        || pair.ask(&serde_json::json!({"op": "status"})).ok(),
        |reply| match reply {
            Some(evonic_shared::status::Reply::Status(status))
                if status.state == State::Running =>
            {
                Some(status.clone())
            }
            _ => None,
        },
    );
    assert_eq!(status.restarts.crash, 1, "counters are kept");
    assert_eq!(pair.history(), before, "and so is the history");
    assert!(status.worker.unwrap().generation > generation, "no generation comes twice");
    Pair::signal(pid, Signal::SIGTERM);
    assert!(again.wait().unwrap().success());
}

#[test]
fn a_second_supervisor_is_refused() {
    let pair = Pair::start(&Options::default());
    let output = Command::new(program("evonic-supervisor"))
        .arg("--config")
        .arg(pair.config_file())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(printed.contains("another evonic-supervisor"), "{printed}");
    assert_eq!(pair.status().state, State::Running);
}

#[test]
fn listeners_of_systemd_are_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("evonic.toml");
    std::fs::write(
        &config,
        format!(
            "state_dir = {:?}\nruntime_dir = {:?}\n",
            folder.path().join("state"),
            folder.path().join("run")
        ),
    )
    .unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut activated = Command::new("systemd-socket-activate")
        .args(["--fdname=http", &format!("--listen={port}")])
        .arg(program("evonic-supervisor"))
        .arg("--config")
        .arg(&config)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("`make test` installs systemd");
    let answer = evonic_tests::poll::until(
        "the activated pair answers",
        Duration::from_secs(20),
        || Connection::tcp(port).and_then(|mut kept| kept.request("GET", "/livez", &[], None)),
        |answer| answer.as_ref().ok().map(|answer| answer.status),
    );
    assert_eq!(answer, 200);
    Pair::signal(activated.id(), Signal::SIGTERM);
    activated.wait().unwrap();
}

#[test]
fn a_log_that_nobody_reads_stops_nobody() {
    for log in [LogTo::Unread, LogTo::Closed] {
        let mut options = Options { log, ..Options::default() };
        options.environment.push(("EVONIC_LOG".to_owned(), "trace".to_owned()));
        let pair = Pair::start(&options);
        let worker = pair.worker();
        let mut kept = Connection::tcp(pair.address()).unwrap();
        for _ in 0..100 {
            let answer = kept.request("GET", "/api/v1/agents", &[], None).unwrap();
            assert_eq!(answer.status, 200);
        }
        assert_eq!(pair.worker(), worker, "{log:?}: the worker was replaced");
        assert_eq!(pair.kill_worker().state, State::Running, "{log:?}: its successor starts");
    }
}
