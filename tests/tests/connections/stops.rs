//! Processes that are stopped for a while: whoever did not run blames nobody for what is late.

use std::{
    thread,
    time::{Duration, Instant},
};

use evonic_tests::pair::{Options, Pair};
use nix::sys::signal::Signal;

/// How long a worker may be silent; the later of the two wakes half of it after the first.
const TIMEOUT: Duration = Duration::from_secs(4);

fn pair() -> Pair {
    let config = "[supervisor]\nheartbeat_timeout = \"4s\"\n";
    Pair::start(&Options::config(config))
}

/// Lets time pass: a stopped process can be asked nothing.
fn pass(time: Duration) {
    let until = Instant::now() + time;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        thread::sleep(left);
    }
}

/// Stops both, wakes one and half a timeout later the other, and watches for as long as a worker that
/// is late would be replaced in.
fn stop_both(pair: &Pair, first: u32, second: u32, stopped: Duration) {
    let worker = pair.worker();
    for pid in [first, second] {
        Pair::signal(pid, Signal::SIGSTOP);
    }
    pass(stopped);
    Pair::signal(first, Signal::SIGCONT);
    pass(TIMEOUT / 2);
    Pair::signal(second, Signal::SIGCONT);
    let until = Instant::now() + TIMEOUT * 3 / 4;
    while Instant::now() < until {
        assert_eq!(pair.worker(), worker, "{:#?}", pair.history());
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(pair.history(), []);
}

#[test]
fn a_supervisor_that_wakes_first_replaces_nobody() {
    let pair = pair();
    let (worker, _) = pair.worker();
    // Shorter than the worker may be silent: no deadline has passed meanwhile.
    stop_both(&pair, pair.pid(), worker, TIMEOUT * 2 / 3);
    stop_both(&pair, pair.pid(), worker, TIMEOUT * 4 / 3);
}

#[test]
fn a_supervisor_that_wakes_last_replaces_nobody() {
    let pair = pair();
    let (worker, _) = pair.worker();
    stop_both(&pair, worker, pair.pid(), TIMEOUT * 2 / 3);
    stop_both(&pair, worker, pair.pid(), TIMEOUT * 4 / 3);
}

#[test]
fn a_worker_that_is_stopped_alone_is_replaced() {
    let pair = pair();
    let (worker, generation) = pair.worker();
    // Both were stopped, and one of them still is.
    for pid in [pair.pid(), worker] {
        Pair::signal(pid, Signal::SIGSTOP);
    }
    Pair::signal(pair.pid(), Signal::SIGCONT);
    pair.wait("it is replaced", |status| {
        status.worker.as_ref().is_some_and(|worker| worker.generation > generation)
    });
    let successor = pair.wait_for_successor(generation);
    assert!(successor.worker.is_some_and(|worker| worker.generation > generation));
    let last = pair.history().into_iter().next().expect("a replacement");
    assert_eq!(last.reason.to_string(), "unhealthy", "{last:?}");
}
