use evonic_shared::status::{Exit, State};

use super::*;

#[test]
fn the_first_restart_is_immediate() {
    let mut script = Script::ready();
    script.live_until(1, s(5));
    let actions = script.exit(1, "SIGSEGV");
    assert_eq!(brief(&actions), ["record 1 crash: killed by SIGSEGV", "spawn 2"]);
    assert_eq!(script.policy.state(), State::Recycling);
    assert_eq!(script.policy.last_error(), Some("killed by SIGSEGV"));
}

#[test]
fn later_ones_back_off_with_jitter_up_to_the_cap() {
    let mut delays: Vec<Vec<Duration>> = vec![Vec::new(); 16];
    for seed in 0..200 {
        let mut script = Script::with(settings(), seed);
        for (crash, delays) in delays.iter_mut().enumerate() {
            let generation = crash as u64 + 1;
            script.now(Event::Spawned { generation, pid: 1 });
            script.exit(generation, "SIGABRT");
            let next = script.policy.next_start();
            delays.push(next.map_or(Duration::ZERO, |at| at - script.now));
            assert_eq!(script.policy.state() == State::CrashLoop, crash >= 4, "crash {crash}");
            script.until(next.unwrap_or(script.now));
        }
    }
    assert!(delays[0].iter().all(Duration::is_zero));
    for (crash, delays) in delays.iter().enumerate().skip(1) {
        let most = (ms(100) * 2_u32.pow(crash as u32 - 1)).min(s(30));
        let (least, greatest) = (delays.iter().min(), delays.iter().max());
        let mean = delays.iter().sum::<Duration>() / delays.len() as u32;
        assert!(greatest <= Some(&most), "crash {crash}: {greatest:?} of {most:?}");
        assert!(greatest >= Some(&(most * 9 / 10)), "crash {crash}: full jitter");
        assert!(least <= Some(&(most / 10)), "crash {crash}: full jitter");
        assert!(mean > most * 2 / 5 && mean < most * 3 / 5, "crash {crash}: {mean:?}");
    }
}

#[test]
fn a_worker_that_cannot_be_started_is_a_crash() {
    let mut script = Script::new();
    let failed = |generation| Event::SpawnFailed { generation, error: "no such file".to_owned() };
    let actions = script.now(failed(1));
    assert_eq!(brief(&actions)[0], "record 1 crash: could not be started: no such file");
    assert_eq!(brief(&actions)[1], "spawn 2");
    let exit = Exit::NotStarted { error: "no such file".to_owned() };
    let is_record =
        |action: &Action| matches!(action, Action::Record(r) if r.pid == 0 && r.exit == exit);
    assert!(actions.iter().any(is_record), "{actions:?}");
    script.now(failed(2));
    assert!(script.policy.next_start().is_some());
    assert_eq!(script.policy.last_error(), Some("could not be started: no such file"));
    assert!(matches!(script.policy.workers(), (None, None)));
}

/// Crashes some workers as soon as they start; the next one is on its way then.
fn crash_often(script: &mut Script, first: u64, times: u64) -> u64 {
    for generation in first..first + times {
        script.now(Event::Spawned { generation, pid: 1 });
        script.exit(generation, "SIGABRT");
        script.until(script.policy.next_start().unwrap_or(script.now));
    }
    first + times
}

#[test]
fn a_crash_loop_ends_with_a_worker_that_stays() {
    let mut script = Script::new();
    let generation = crash_often(&mut script, 1, 6);
    assert_eq!(script.policy.state(), State::CrashLoop);
    script.start(generation);
    script.now(Event::Ready { generation });
    assert_eq!(script.policy.state(), State::Running);
    assert_eq!(script.policy.last_error(), None);
    script.live_until(generation, script.now + s(29));
    script.exit(generation, "SIGSEGV");
    assert_eq!(script.policy.state(), State::CrashLoop, "it did not live long enough");
    script.until(script.policy.next_start().expect("backing off"));
    let generation = generation + 1;
    script.start(generation);
    script.now(Event::Ready { generation });
    script.live_until(generation, script.now + s(31));
    let actions = script.exit(generation, "SIGSEGV");
    assert_eq!(brief(&actions)[1], format!("spawn {}", generation + 1), "a new row");
    assert_eq!(script.policy.state(), State::Recycling);
}

#[test]
fn recycles_and_requests_are_no_crashes() {
    let mut script = Script::ready();
    for generation in 1..20 {
        if generation % 2 == 0 {
            script.now(Event::Restart { uid: 0 });
        } else {
            script.live_until(generation, script.now + s(31));
            script.count(generation, 500, 5);
        }
        script.start(generation + 1);
        script.now(Event::Ready { generation: generation + 1 });
        script.count(generation + 1, 20, 5);
        script.exit(generation, "SIGTERM");
        assert_eq!(script.policy.state(), State::Running);
        assert_eq!(script.policy.last_error(), None);
    }
}

#[test]
fn an_unasked_exit_with_success_is_a_crash() {
    let mut script = Script::ready();
    let actions = script.now(Event::Exited { generation: 1, exit: Exit::Code { code: 0 } });
    assert_eq!(brief(&actions), ["record 1 crash: exited with code 0", "spawn 2"]);
}

#[test]
fn a_worker_that_drains_unasked_is_replaced_and_held_to_its_grace() {
    let mut script = Script::ready();
    let actions = script.now(Event::Draining { generation: 1 });
    assert_eq!(brief(&actions), ["drain 1 crash", "spawn 2 beside 1"]);
    script.start(2);
    script.now(Event::Ready { generation: 2 });
    while script.now < s(10) {
        script.until(script.now + s(1));
        script.heartbeat(2, 0);
    }
    assert_eq!(brief(&script.until(s(11))), ["kill 1"]);
}

#[test]
fn a_worker_that_is_just_being_spawned_is_notified_of_a_death() {
    let mut script = Script::ready();
    script.count(1, 500, 5);
    let actions = script.exit(1, "SIGSEGV");
    assert_eq!(brief(&actions), ["record 1 fd_threshold: 500 descriptors open, threshold 400"]);
    let actions = script.now(Event::Spawned { generation: 2, pid: 3 });
    assert_eq!(brief(&actions), ["notify 2 of 1"]);
}

#[test]
fn an_exit_code_is_put_into_words() {
    let mut script = Script::new();
    script.start(1);
    script.now(Event::Exited { generation: 1, exit: Exit::Code { code: 78 } });
    let text = "exited with code 78 (its configuration is refused) before it was ready";
    assert_eq!(script.policy.last_error(), Some(text));
}
