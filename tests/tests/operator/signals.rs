//! Signals that are no messages, and those that hurry.

use std::time::{Duration, Instant};

use evonic_tests::{
    fault::{Fault, Puppet},
    pair::{Options, Pair},
    poll,
    troubleshooting::assert_documented,
};
use nix::sys::signal::Signal;

use crate::said;

#[test]
fn signals_that_mean_nothing_are_said_and_end_nobody() {
    let mut pair = Pair::start(&Options::default());
    let before = pair.worker();
    let strange = [
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGALRM,
        Signal::SIGVTALRM,
        Signal::SIGPROF,
        Signal::SIGIO,
        Signal::SIGPWR,
        Signal::SIGXCPU,
        Signal::SIGXFSZ,
    ];
    for signal in strange {
        Pair::signal(pair.pid(), signal);
        Pair::signal(before.0, signal);
    }
    // Beyond those that have names.
    let pid = pair.pid().to_string();
    let sent = std::process::Command::new("kill").args(["-40", &pid]).status();
    assert!(sent.expect("kill").success());
    poll::until(
        "both say it",
        Duration::from_secs(10),
        || pair.log(),
        |log| {
            // Of each signal a line of each process; those of limits say which.
            let lines = |name: &str| log.lines().filter(|line| line.contains(name)).count();
            let said = |signal: &&Signal| match signal {
                Signal::SIGXCPU => lines("SIGXCPU") + lines("limit of processor time") == 2,
                Signal::SIGXFSZ => lines("SIGXFSZ") + lines("limit of sizes") == 2,
                other => lines(other.as_str()) == 2,
            };
            (strange.iter().all(|signal| said(&signal)) && lines("signal 40") == 1).then_some(())
        },
    );
    assert_documented("signal is passed over", &pair.log());
    assert_eq!(pair.worker(), before);
    assert_eq!(pair.stop(), Some(0));
}

#[test]
fn a_second_signal_to_stop_hurries_and_two_at_once_are_one() {
    let deaf = Puppet { ignores_drain: true, ..Puppet::default() };
    let options = Options::config("[supervisor]\ngrace = \"60s\"\n");
    let mut pair = Pair::start(&options.fault(u64::MAX, Fault::Puppet(deaf)));
    let began = Instant::now();
    Pair::signal(pair.pid(), Signal::SIGTERM);
    Pair::signal(pair.pid(), Signal::SIGTERM);
    poll::until(
        "it stops",
        Duration::from_secs(10),
        || pair.log(),
        |log| log.contains("worker is told to stop").then_some(()),
    );
    assert!(!pair.log().contains("it hurries"), "two at once are one: {}", pair.log());
    poll::until(
        "the second hurries",
        Duration::from_secs(10),
        || {
            Pair::signal(pair.pid(), Signal::SIGINT);
            pair.log()
        },
        |log| log.contains("it hurries").then_some(()),
    );
    assert_eq!(pair.wait_for_exit(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?} of 60 s", began.elapsed());
}

#[test]
fn a_stop_that_hurries_loses_nothing() {
    let options = Options::config("[supervisor]\ngrace = \"60s\"\n");
    let mut pair = Pair::start(&options);
    let said_before = said(&pair.evonic(&["chat", "runbook", "$ echo kept"]));
    assert!(said_before.contains("kept"), "{said_before}");
    let began = Instant::now();
    Pair::signal(pair.pid(), Signal::SIGQUIT);
    assert_eq!(pair.wait_for_exit(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert!(!pair.state_dir().join("evonic.db-wal").exists(), "its log is written back");
    let database =
        rusqlite::Connection::open(pair.state_dir().join("evonic.db")).expect("it opens");
    let sound: String =
        database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("an answer");
    assert_eq!(sound, "ok");
    let kept: u32 = database
        .query_row("SELECT count(*) FROM turns WHERE state = 'completed'", [], |row| row.get(0))
        .expect("an answer");
    assert_eq!(kept, 1);
}
