//! Followers that do not read cost next to nothing.

use std::{fs, time::Duration};

use evonic_tests::{
    http::Connection,
    pair::{NO_LIMITS, Options, Pair},
    poll, size,
};

const FOLLOWERS: usize = 4;

const MESSAGES: u64 = 160;

/// Of one message: with the rest of its request, the most that is taken.
const MESSAGE_BYTES: usize = 1_000_000;

/// What a worker may have resident at any time.
const MEMORY_KIB: u64 = 64 * 1024;

/// The most that a process ever had resident.
fn peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a living process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn followers_that_do_not_read_cost_no_memory() {
    let pair = Pair::start(&Options::config(NO_LIMITS));
    let (address, worker) = (pair.address(), pair.worker());
    let before = peak_kib(worker.0);
    let sessions: Vec<_> = (0..FOLLOWERS).map(|_| pair.session("runbook")).collect();
    let follow = |session: &String| {
        let mut connection = Connection::tcp(address).expect("a connection");
        let path = format!("/api/v1/sessions/{session}/events");
        connection.ask("GET", &path, &[], None).expect("it is sent");
        assert_eq!(connection.head().expect("an answer").0, 200);
        connection
    };
    // All of each other's sessions, so that each event has as many followers as there are.
    let followers: Vec<_> =
        (0..FOLLOWERS).map(|_| sessions.iter().map(follow).collect::<Vec<_>>()).collect();
    let content = "x".repeat(MESSAGE_BYTES);
    for number in 0..MESSAGES {
        let session = &sessions[number as usize % FOLLOWERS];
        let turn = pair.post(session, &content);
        let path = format!("/api/v1/turns/{turn}");
        poll::until(
            "the turn ends",
            Duration::from_secs(30),
            || pair.expect(200, "GET", &path, None)["state"].clone(),
            |state| matches!(state.as_str(), Some("completed" | "failed")).then_some(()),
        );
    }
    let after = peak_kib(worker.0);
    println!("{FOLLOWERS} followers that do not read, {MESSAGES} messages of 1 MB:");
    size::report(
        "most memory of the worker, before and after",
        format!("{before}, {after}"),
        "KiB",
    );
    assert_eq!(pair.worker(), worker, "it was not replaced");
    assert!(after < MEMORY_KIB, "{after} KiB");
    drop(followers);
}
