//! Workers that misbehave are noticed, replaced and gone in time.

use std::time::{Duration, Instant};

use evonic_shared::{
    reason::Reason,
    status::{Exit, State},
};
use evonic_tests::{
    fault::{Fault, Puppet},
    http::{Connection, EventStream},
    pair::{Options, Pair},
    poll, process,
};
use nix::sys::signal::Signal;

/// Shorter than the defaults, so that the tests are; the ratios are the same.
const CONFIG: &str = "[supervisor]\n\
    grace = \"2s\"\n\
    start_timeout = \"3s\"\n\
    heartbeat_interval = \"500ms\"\n\
    heartbeat_timeout = \"1500ms\"\n\
    accept_stall = \"1s\"\n\
    backoff_base = \"50ms\"\n\
    backoff_cap = \"200ms\"\n";
const GRACE: Duration = Duration::from_secs(2);
/// Heartbeat timeout, and an interval in which it is seen.
const NOTICED: Duration = Duration::from_millis(2500);
/// What a worker may outlive its grace by.
const AFTER_GRACE: Duration = Duration::from_millis(250);

fn puppet(puppet: Puppet) -> Options {
    Options::config(CONFIG).fault(1, Fault::Puppet(puppet))
}

/// Waits until the first worker was replaced; checks the reason and that it died in time.
fn replaced(pair: &Pair, pid: u32, reason: Reason, detail: &str) {
    let began = Instant::now();
    poll::until(
        "the decision is in the status",
        Duration::from_secs(20),
        || pair.status(),
        |status| (status.predecessor.is_some() || status.last_restart.is_some()).then_some(()),
    );
    let decided = Instant::now();
    poll::until(
        "the misbehaving worker is dead",
        GRACE + Duration::from_secs(5),
        || process::is_alive(pid),
        |alive| (!alive).then_some(()),
    );
    let outlived = decided.elapsed();
    let status = pair.wait_for_successor(1);
    let last = status.last_restart.expect("an entry");
    println!("{detail}: noticed after {:?}, dead {outlived:?} later, {last:?}", decided - began);
    assert_eq!(last.reason, reason, "{last:#?}");
    assert!(last.detail.contains(detail), "{detail:?} is not in {last:#?}");
    // Only when the drain begins with the decision is the whole span bounded by the grace.
    assert!(
        Duration::from_millis(last.took_ms) <= GRACE + AFTER_GRACE + Duration::from_millis(100)
    );
    assert!(!process::is_alive(pid));
}

#[test]
fn a_worker_that_ignores_sigterm_is_killed_after_its_grace() {
    let pair = Pair::start(&puppet(Puppet { ignores_drain: true, ..Puppet::default() }));
    let (pid, _) = pair.worker();
    assert!(pair.evonic(&["restart", "--no-wait"]).status.success());
    replaced(&pair, pid, Reason::Requested, "");
    let exit = pair.history().remove(0).exit;
    assert_eq!(exit, Exit::Signal { signal: "SIGKILL".to_owned(), after_grace: true });
}

#[test]
fn a_stopped_worker_is_replaced() {
    let pair = Pair::start(&Options::config(CONFIG));
    let (pid, _) = pair.worker();
    let began = Instant::now();
    Pair::signal(pid, Signal::SIGSTOP);
    replaced(&pair, pid, Reason::Unhealthy, "no heartbeat");
    assert!(began.elapsed() < NOTICED + GRACE + Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn a_worker_with_one_late_part_is_replaced() {
    for part in ["http", "store", "agents"] {
        let late_part = Some(part.to_owned());
        let pair = Pair::start(&puppet(Puppet { late_part, ..Puppet::default() }));
        let (pid, _) = pair.worker();
        replaced(&pair, pid, Reason::Unhealthy, part);
    }
}

#[test]
fn a_database_locked_by_another_process_gives_503_and_replaces_nobody() {
    let pair =
        Pair::start(&Options::config(&format!("{CONFIG}[store]\nbusy_timeout = \"500ms\"\n")));
    let (pid, _) = pair.worker();
    let other = rusqlite::Connection::open(pair.state_dir().join("evonic.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // The lock is none of the worker's making, and no replacement would help: it stays.
    let answer =
        pair.request("POST", "/api/v1/sessions", Some(&serde_json::json!({"agent": "runbook"})));
    let answer = answer.expect("an answer");
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.header("retry-after").is_some());
    other.execute_batch("ROLLBACK").unwrap();
    let _ = pair.session("runbook");
    assert_eq!(pair.worker().0, pid);
}

fn blocked(threads: &str) -> Options {
    let name = threads.to_owned();
    Options::config(CONFIG).fault(1, Fault::BlockThreads { name, after_ms: 1000 })
}

#[test]
fn a_worker_that_hangs_at_exit_is_ended_by_its_watchdog() {
    let pair = Pair::start(&blocked("store-read"));
    let (pid, _) = pair.worker();
    pair.wait("its threads hang", |status| {
        status.worker.as_ref().is_some_and(|worker| worker.uptime_seconds > 1.5)
    });
    // The drain waits for them in vain, until the watchdog ends it.
    assert!(pair.evonic(&["restart", "--no-wait"]).status.success());
    poll::until(
        "it is dead",
        GRACE + AFTER_GRACE,
        || process::is_alive(pid),
        |alive| (!alive).then_some(()),
    );
    let last = pair.wait_for_successor(1).last_restart.expect("an entry");
    assert_eq!(last.exit, Exit::Code { code: 86 }, "{last:#?}");
}

#[test]
fn a_client_that_does_not_read_its_events_delays_no_exit() {
    let pair = Pair::start(&Options::config(CONFIG));
    let (pid, _) = pair.worker();
    let session = pair.session("runbook");
    let turn = pair.post(&session, "$ head -c 20000000 /dev/zero | tr '\\0' x | fold -w 100");
    let connection = Connection::tcp(pair.address()).expect("a connection");
    let _unread = EventStream::open(connection, &session, 0).expect("a stream");
    let _ = pair.wait_for_turn(&turn);
    assert!(pair.evonic(&["restart", "--no-wait"]).status.success());
    poll::until(
        "it is dead",
        GRACE + AFTER_GRACE,
        || process::is_alive(pid),
        |alive| (!alive).then_some(()),
    );
    pair.wait_for_successor(1);
}

#[test]
fn a_worker_that_blocks_its_runtime_is_replaced() {
    let options = blocked("runtime");
    let pair = Pair::start(&options);
    let (pid, _) = pair.worker();
    replaced(&pair, pid, Reason::Unhealthy, "not checked in");
}

#[test]
fn a_worker_that_does_not_accept_is_replaced() {
    let pair = Pair::start(&puppet(Puppet { parks_accept: true, ..Puppet::default() }));
    let (pid, _) = pair.worker();
    let address = pair.address();
    let waiting = std::thread::spawn(move || {
        let mut connection = Connection::tcp(address)?;
        connection.request("GET", "/livez", &[], None)
    });
    replaced(&pair, pid, Reason::Unhealthy, "accept");
    let answer = waiting.join().expect("a client").expect("the successor answers who waited");
    assert_eq!(answer.status, 200);
}

#[test]
fn a_worker_that_does_not_answer_the_probe_is_replaced() {
    let pair = Pair::start(&puppet(Puppet { silent_probe: true, ..Puppet::default() }));
    let (pid, _) = pair.worker();
    replaced(&pair, pid, Reason::Unhealthy, "probe");
}

#[test]
fn a_worker_that_never_becomes_ready_is_replaced() {
    let pair = Pair::launch(&puppet(Puppet { never_ready: true, ..Puppet::default() }));
    let status = pair.wait_for_successor(1);
    let last = status.last_restart.expect("an entry");
    assert_eq!(last.reason, Reason::Crash, "{last:#?}");
    assert!(last.detail.contains("ready"), "{last:#?}");
}

#[test]
fn open_event_streams_delay_no_exit() {
    let pair = Pair::start(&Options::config(CONFIG));
    let (pid, _) = pair.worker();
    let session = pair.session("runbook");
    let mut streams: Vec<_> = (0..8)
        .map(|_| {
            let connection = Connection::tcp(pair.address()).expect("a connection");
            EventStream::open(connection, &session, 0).expect("a stream")
        })
        .collect();
    let began = Instant::now();
    assert!(pair.evonic(&["restart", "--no-wait"]).status.success());
    for stream in &mut streams {
        assert_eq!(stream.next_event(), Ok(None), "it ends properly");
    }
    poll::until("it is gone", GRACE, || process::is_alive(pid), |alive| (!alive).then_some(()));
    println!("8 open event streams: the worker was gone after {:?}", began.elapsed());
}

#[test]
fn a_crash_loop_is_reported_and_ends() {
    let options = Options::config(CONFIG).fault(8, Fault::ExitAtStart { code: 70 });
    let pair = Pair::launch(&options);
    let looping = pair.wait("a crash loop", |status| status.state == State::CrashLoop);
    assert!(looping.last_error.is_some_and(|error| error.contains("70")), "it says why");
    pair.wait("it tries again until it works", |status| status.state == State::Running);
    let history = pair.history();
    assert_eq!(history.len(), 8, "{history:#?}");
    assert!(history.iter().all(|entry| entry.reason == Reason::Crash));
    assert!(history.iter().all(|entry| entry.exit == Exit::Code { code: 70 }));
}

#[test]
fn a_missing_worker_program_is_reported() {
    let mut pair = Pair::launch(&Options::config(
        "[supervisor]\nworker = \"/nonexistent/evonic\"\nbackoff_base = \"10ms\"\n\
         backoff_cap = \"50ms\"\n",
    ));
    let status = pair.wait("a crash loop", |status| status.state == State::CrashLoop);
    let error = status.last_error.expect("an error");
    assert!(error.contains("/nonexistent/evonic"), "{error}");
    assert_eq!(pair.stop(), Some(0), "it stops in order");
}

#[test]
fn a_worker_exits_when_its_supervisor_dies() {
    let pair = Pair::start(&Options::default());
    let (pid, _) = pair.worker();
    Pair::signal(pair.pid(), Signal::SIGKILL);
    let gone = Duration::from_secs(7);
    poll::until("its worker goes", gone, || process::is_alive(pid), |alive| (!alive).then_some(()));
}
