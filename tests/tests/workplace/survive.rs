//! A command outlives its worker, its connection and its engine: every line once, and its exit
//! status.

use std::time::{Duration, Instant};

use evonic_tests::{
    pair::Options,
    poll, size,
    testbed::{Ran, Testbed},
};

/// How many lines the command prints, one every 100 ms.
fn lines() -> u64 {
    // Each round of a fault takes ten lines.
    size::of("surviving_lines", 60, 300).max(40)
}

/// The command, with an exit status of its own.
fn runbook(lines: u64) -> String {
    format!(
        "on failure continue\n$ for i in $(seq {lines}); do echo line $i; sleep 0.1; done; exit 7"
    )
}

/// Options with quick restarts.
fn options() -> Options {
    Options::config("[supervisor]\nbackoff_base = \"10ms\"\nbackoff_cap = \"50ms\"\n")
}

/// Starts the command in a new session, and does `fault` when it has printed ten lines, twenty, and
/// so on, `times` times. What the agent saw.
fn survive(
    testbed: &mut Testbed,
    agent: &str,
    times: u64,
    mut fault: impl FnMut(&mut Testbed),
) -> Ran {
    let lines = lines();
    let session = testbed.pair.session(agent);
    let turn = testbed.pair.post(&session, &runbook(lines));
    for round in 1..=times {
        let seen =
            || Ran { ended: serde_json::Value::Null, events: testbed.events(&session, &turn) };
        let wanted = format!("line {}\n", round * 10);
        poll::until(
            "the command prints",
            Duration::from_secs(60),
            || seen().output(),
            |output| output.contains(&wanted).then_some(()),
        );
        fault(testbed);
    }
    let ended = testbed.pair.wait_for_turn(&turn);
    Ran { ended, events: testbed.events(&session, &turn) }
}

fn assert_whole(ran: &Ran, what: &str) {
    assert!(ran.is_completed(), "{what}: {ran:#?}");
    let wanted: String = (1..=lines()).map(|number| format!("line {number}\n")).collect();
    let results = ran.results();
    assert_eq!(ran.output(), wanted, "{what}: every line once, in order: {results:?}");
    assert_eq!(results.len(), 1, "{what}: {results:?}");
    let (outcome, content) = &results[0];
    assert_eq!(outcome, "error", "{what}: it exits with 7: {content}");
    assert!(content.starts_with(&wanted) && content.contains("exit status 7"), "{what}: {content}");
}

#[test]
fn a_command_outlives_its_worker() {
    let (mut testbed, _account) = Testbed::whole(&options());
    for agent in ["runbook", "ssh", "docker"] {
        let began = Instant::now();
        let ran = survive(&mut testbed, agent, 3, |testbed| {
            let _successor = testbed.pair.kill_worker();
        });
        assert_whole(&ran, agent);
        println!("  {agent}: three kills, {:.1} s in all", began.elapsed().as_secs_f64());
    }
}

#[test]
fn a_command_is_handed_over_at_a_restart_without_waiting_for_it() {
    let (mut testbed, _account) = Testbed::whole(&options());
    for agent in ["runbook", "ssh", "docker"] {
        let ran = survive(&mut testbed, agent, 2, |testbed| {
            let (_, generation) = testbed.pair.worker();
            let began = Instant::now();
            assert!(testbed.pair.evonic(&["restart", "--no-wait"]).status.success());
            let _alone = testbed.pair.wait_for_successor(generation);
            let took = began.elapsed();
            assert!(took < Duration::from_secs(4), "the restart waited for the command: {took:?}");
        });
        assert_whole(&ran, agent);
    }
}

#[test]
fn a_command_outlives_its_connection() {
    let (mut testbed, _account) = Testbed::ssh(&options());
    let ran = survive(&mut testbed, "ssh", 3, |testbed| {
        let cut = testbed.server.as_ref().expect("a server").cut();
        assert!(cut > 0, "there was a connection");
    });
    assert_whole(&ran, "ssh");
}

#[test]
fn a_command_outlives_a_restart_of_the_engine() {
    let mut testbed = Testbed::docker_on_own_engine(&options());
    let ran = survive(&mut testbed, "docker", 1, |testbed| {
        testbed.own_engine().restart();
    });
    assert_whole(&ran, "docker");
}
