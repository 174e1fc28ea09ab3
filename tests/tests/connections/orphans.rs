//! A supervisor that was killed, and the next one at once.

use std::{net::TcpListener, time::Duration};

use evonic_shared::status::State;
use evonic_tests::{
    fault::Fault,
    pair::{Options, Pair},
    poll,
    process::is_alive,
    troubleshooting::assert_documented,
};
use nix::sys::signal::Signal;

/// Options of a pair at an address that its next supervisor has again.
fn at_a_fixed_address(config: &str) -> Options {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut options = Options::config(config);
    options.environment.push(("EVONIC_LISTEN".to_owned(), free.to_string()));
    options
}

fn kill(pair: &mut Pair) {
    Pair::signal(pair.pid(), Signal::SIGKILL);
    let _killed = pair.wait_for_exit();
}

#[test]
fn a_start_outwaits_the_worker_of_a_supervisor_that_was_killed() {
    // A worker whose thread hangs that would begin the drain holds both listeners.
    let hangs = Fault::BlockThreads { name: "control".to_owned(), after_ms: 300 };
    let options = at_a_fixed_address("[supervisor]\nheartbeat_timeout = \"1m\"\n").fault(1, hangs);
    let mut pair = Pair::start(&options);
    let (worker, generation) = pair.worker();
    pair.wait("its thread hangs", |status| {
        status.worker.as_ref().is_some_and(|worker| worker.uptime_seconds > 1.0)
    });
    kill(&mut pair);
    let log = pair.folder().join("log");
    let read = move || std::fs::read_to_string(&log).unwrap_or_default();
    let said = "a worker of the last supervisor still drains: trying again for 7 s";
    std::thread::scope(|scope| {
        let ending = scope.spawn(|| {
            poll::until("it says why it waits", Duration::from_secs(20), &read, |log| {
                log.contains(said).then_some(())
            });
            Pair::signal(worker, Signal::SIGKILL);
        });
        pair.start_again(&options, &[]);
        ending.join().unwrap();
    });
    pair.wait("the next worker serves", |status| status.state == State::Running);
    assert!(pair.worker().1 > generation);
    assert_documented(
        "a worker of the last supervisor still drains: trying again for 7 s",
        &pair.log(),
    );
    poll::until(
        "the orphan ends",
        Duration::from_secs(20),
        || is_alive(worker),
        |&alive| (!alive).then_some(()),
    );
}

#[test]
fn a_start_at_once_after_a_kill_serves() {
    let options = at_a_fixed_address("");
    let mut pair = Pair::start(&options);
    for _ in 0..4 {
        let session = pair.session("runbook");
        let _turn = pair.post(&session, "$ sleep 5");
        kill(&mut pair);
        pair.start_again(&options, &[]);
        pair.wait("the next worker serves", |status| status.state == State::Running);
    }
}

#[test]
fn an_address_of_a_stranger_is_told_soon() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mut options = Options::default();
    options.environment.push(("EVONIC_LISTEN".to_owned(), address.to_string()));
    let began = std::time::Instant::now();
    let mut pair = Pair::spawn(&options);
    assert_eq!(pair.wait_for_exit(), Some(71), "{}", pair.log());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let row = "… is in use: stop what listens there";
    assert_documented(row, &pair.log());
}
