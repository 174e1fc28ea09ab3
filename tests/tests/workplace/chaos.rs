//! A worker killed at random moments while tools append to counters: no effect twice unless its
//! policy says so, and no turn left hanging.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use evonic_tests::{pair::Options, size, testbed::Testbed};

#[test]
fn no_effect_happens_twice_under_kills() {
    let kills = size::of("effect_kills", 10, 200);
    let (testbed, _account) = Testbed::whole(&Options::config(
        "[supervisor]\nbackoff_base = \"10ms\"\nbackoff_cap = \"50ms\"\n\
         [agents]\nmax_takeovers = 1000\n",
    ));
    let agents = ["runbook", "ssh", "docker", "runbook", "ssh", "docker"];
    let sessions: Vec<(usize, &str, String)> = agents
        .into_iter()
        .enumerate()
        .map(|(number, agent)| (number, agent, testbed.pair.session(agent)))
        .collect();
    let done = AtomicBool::new(false);
    let posted: Vec<u64> = std::thread::scope(|scope| {
        let posters: Vec<_> = sessions
            .iter()
            .map(|(number, _, session)| {
                let (testbed, done) = (&testbed, &done);
                scope.spawn(move || post(testbed, session, *number, done))
            })
            .collect();
        for _ in 0..kills {
            std::thread::sleep(Duration::from_millis(fastrand::u64(50..600)));
            let _successor = testbed.pair.kill_worker();
        }
        done.store(true, Ordering::Relaxed);
        posters.into_iter().map(|poster| poster.join().expect("no panic")).collect()
    });

    let (mut effects, mut unknown) = (0, 0);
    for ((number, agent, session), posted) in sessions.iter().zip(posted) {
        let ran = testbed.run_in(session, &format!("$ cat counter-{number} || true"));
        assert!(ran.is_completed(), "{agent}: {ran:#?}");
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        for line in ran.output().lines() {
            *counts.entry(line.to_owned()).or_default() += 1;
        }
        let twice: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
        assert!(twice.is_empty(), "{agent}: twice: {twice:?}");
        let missing = (0..posted).filter(|round| !counts.contains_key(&format!("round {round}")));
        unknown += missing.count();
        effects += counts.len();
    }
    println!(
        "{kills} kills: {effects} effects, each once; {unknown} that were reported as unknown"
    );
    assert!(effects > 0, "there were effects");
}

/// Posts turns with one effect each, and waits for each one's end. Returns how many.
fn post(testbed: &Testbed, session: &str, number: usize, done: &AtomicBool) -> u64 {
    let mut round = 0;
    while !done.load(Ordering::Relaxed) {
        let content = format!(
            "on failure continue\n$ sleep 0.2; echo round {round} >> counter-{number}; sleep 0.1"
        );
        let key = format!("{session}-{round}");
        let turn = testbed.pair.post_under_kills(session, &key, &content);
        // No turn is left hanging.
        let ended = testbed.pair.wait_for_turn(&turn);
        assert_eq!(ended["state"], "completed", "{ended}");
        round += 1;
    }
    round
}
