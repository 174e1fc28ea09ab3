//! Followers that do not read cost next to nothing.

use std::fs;

use evonic_tests::{
    http::Connection,
    pair::{NO_LIMITS, Options, Pair},
    size,
};

const FOLLOWERS: usize = 4;

const MESSAGES: u64 = 160;

/// Of one message: with the rest of its request, the most that is taken.
const MESSAGE_BYTES: usize = 1_000_000;

/// By how much a worker's memory may grow: an idle one of a `dist` build has 22 MB, and with this it
/// stays below 64. One of these tests has more only because its program is larger.
const GROWTH_KIB: u64 = 41 * 1024;

/// The most that a process ever had resident.
fn peak_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a living process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Messages that wait for their turn, so that what is measured is what followers cost.
const CONFIG: &str = "[agents]\nmax_queued = 200\n";

#[test]
fn followers_that_do_not_read_cost_no_memory() {
    let pair = Pair::start(&Options::config(&format!("{NO_LIMITS}{CONFIG}")));
    let (address, worker) = (pair.address(), pair.worker());
    let session = pair.session("runbook");
    let running = pair.post(&session, "$ sleep 600");
    let follow = |_| {
        let mut connection = Connection::tcp(address).expect("a connection");
        let path = format!("/api/v1/sessions/{session}/events");
        connection.ask("GET", &path, &[], None).expect("it is sent");
        assert_eq!(connection.head().expect("an answer").0, 200);
        connection
    };
    let mut followers: Vec<_> = (0..FOLLOWERS).map(follow).collect();
    let before = peak_kib(worker.0);
    let content = "x".repeat(MESSAGE_BYTES);
    for _ in 0..MESSAGES {
        let _queued = pair.post(&session, &content);
    }
    let after = peak_kib(worker.0);
    println!("{FOLLOWERS} followers that do not read, {MESSAGES} messages of 1 MB:");
    size::report(
        "most memory of the worker, before and after",
        format!("{before}, {after}"),
        "KiB",
    );
    assert_eq!(pair.worker(), worker, "it was not replaced");
    assert!(after - before < GROWTH_KIB, "{before}, then {after} KiB");
    // Nothing is lost to one that begins to read, at the end of which it has cost no more.
    let mut follower = followers.remove(0);
    let mut bytes = 0;
    while bytes < MESSAGES as usize * MESSAGE_BYTES {
        bytes += follower.chunk().expect("a piece").expect("it goes on").len();
    }
    let after = peak_kib(worker.0);
    size::report("and when one of them has read all", after, "KiB");
    assert!(after - before < GROWTH_KIB, "{before}, then {after} KiB");
    let cancel = format!("/api/v1/turns/{running}/cancel");
    let _cancelled = pair.expect(202, "POST", &cancel, None);
}
