//! Connect, run, close, a thousand times: the account and `/proc` return to where they were.

use std::time::{Duration, Instant};

use evonic_tests::{
    pair::Options,
    poll, process, size,
    testbed::{QUICK_CLOSE, Testbed},
};

#[test]
fn connect_run_close_leaves_nothing_open() {
    let cycles = size::of("cycles", 12, 1000);
    let (testbed, _account) = Testbed::whole(&Options::config(
        "[ssh]\nidle_timeout = \"100ms\"\n[docker]\nidle_stop = \"1h\"\n",
    ));
    for agent in ["runbook", "ssh", "docker"] {
        let session = testbed.pair.session(agent);
        assert!(testbed.run_in(&session, "$ true").is_completed(), "{agent}");
        let before = testbed.settled();
        let began = Instant::now();
        for _ in 0..cycles {
            assert!(testbed.run_in(&session, "$ true").is_completed(), "{agent}");
            closed(&testbed, agent);
        }
        let each = began.elapsed() / u32::try_from(cycles).expect("it is small");
        size::report(&format!("{agent}: connect, run, close"), size::ms(each), "ms");
        assert_eq!(
            testbed.settled(),
            before,
            "{agent}: {:#?}",
            process::links(testbed.pair.worker().0)
        );
    }
}

/// Waits until no connection of this kind is open.
fn closed(testbed: &Testbed, agent: &str) {
    let kind = if agent == "runbook" { "child" } else { agent };
    // The worker's own word: the supervisor counts only now and then.
    let line = format!("evonic_handles_fds{{kind=\"{kind}\"}} ");
    let owned = || {
        let metrics = testbed.pair.request("GET", "/metrics", None).expect("an answer").text();
        metrics.lines().find_map(|found| found.strip_prefix(&line).map(str::to_owned))
    };
    poll::until("the connection is closed", Duration::from_secs(20), owned, |owned| {
        (owned.as_deref() == Some("0")).then_some(())
    });
}

/// Answers to keep-alives wake no reader in a loop.
#[test]
fn an_idle_connection_costs_nothing() {
    const IDLE: Duration = Duration::from_secs(6);
    let config = "[ssh]\nkeepalive_interval = \"2s\"\ndead_after = \"3s\"\n";
    let (testbed, _account) = Testbed::ssh(&Options::config(config));
    let session = testbed.pair.session("ssh");
    assert!(testbed.run_in(&session, "$ true").is_completed());
    let worker = testbed.pair.worker().0;
    let before = process::cpu_micros(worker).expect("it lives");
    std::thread::sleep(IDLE);
    let spent = process::cpu_micros(worker).expect("it lives") - before;
    let percent = spent as f64 / IDLE.as_micros() as f64 * 100.0;
    size::report("an idle connection, of a processor", percent, "%");
    assert!(percent < 25.0, "{spent} us in {IDLE:?}");
    let status = testbed.pair.status().worker.expect("a worker");
    assert!(status.fd.owned.get("ssh").is_some_and(|open| *open > 0), "it is kept: {status:?}");
    assert!(testbed.run_in(&session, "$ true").is_completed());
}

#[test]
fn many_commands_in_one_session_leave_nothing_open() {
    let commands = size::of("small_commands", 180, 20_000);
    let (testbed, _account) = Testbed::whole(&Options::config(QUICK_CLOSE));
    for agent in ["runbook", "ssh", "docker"] {
        let session = testbed.pair.session(agent);
        assert!(testbed.run_in(&session, "$ echo 0").is_completed(), "{agent}");
        let before = testbed.settled();
        let began = Instant::now();
        let mut left = commands;
        while left > 0 {
            let steps = left.min(90);
            let ran = testbed.run_in(&session, &"$ echo one\n".repeat(steps as usize));
            assert!(ran.is_completed(), "{agent}: {ran:#?}");
            assert_eq!(ran.output(), "one\n".repeat(steps as usize), "{agent}");
            left -= steps;
        }
        let each = began.elapsed() / u32::try_from(commands).expect("it is small");
        size::report(&format!("{agent}: a small command, its turn included"), size::ms(each), "ms");
        assert_eq!(
            testbed.settled(),
            before,
            "{agent}: {:#?}",
            process::links(testbed.pair.worker().0)
        );
    }
}
