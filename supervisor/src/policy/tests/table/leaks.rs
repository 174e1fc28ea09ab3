use evonic_shared::status::State;

use super::*;

#[test]
fn past_the_threshold_the_replacement_comes_first() {
    let mut script = Script::ready();
    script.until(s(2));
    assert!(brief(&script.count(1, 399, 350)).is_empty());
    let actions = script.count(1, 408, 350);
    assert_eq!(brief(&actions), ["post-mortem 1 fd_threshold", "spawn 2 beside 1"]);
    assert_eq!(script.policy.state(), State::Recycling);
    script.start(2);
    let actions = script.at(ms(2100), Event::Ready { generation: 2 });
    assert_eq!(brief(&actions), ["census 2", "drain 1 fd_threshold"]);
    script.until(ms(2150));
    let actions = script.exit(1, "SIGTERM");
    let text = "record 1 fd_threshold: 408 descriptors open, threshold 400";
    assert_eq!(brief(&actions), [text, "notify 2 of 1"]);
    let record = actions.iter().find_map(|action| match action {
        Action::Record(record) => Some(record),
        _ => None,
    });
    let record = record.expect("it is there");
    assert_eq!((record.pid, record.fd_open), (1001, 408));
    assert_eq!((record.took, record.decided_at), (ms(150), s(2)));
    assert_eq!(record.lived, ms(2150));
    assert_eq!(script.policy.state(), State::Running);
}

#[test]
fn the_unexplained_need_two_counts() {
    let mut script = Script::ready();
    script.until(s(2));
    assert!(brief(&script.count(1, 79, 0)).is_empty(), "64 are allowed");
    assert!(brief(&script.count(1, 80, 0)).is_empty(), "65 once");
    assert_eq!(script.policy.deadline(), Some(s(2) + ms(10)));
    assert!(counts(&script.until(s(2) + ms(10)), 1));
    assert_eq!(
        brief(&script.count(1, 80, 0)),
        ["post-mortem 1 fd_unexplained", "spawn 2 beside 1"]
    );
}

#[test]
fn one_count_above_and_one_below_is_nothing() {
    let mut script = Script::ready();
    for round in 1..100 {
        script.until(s(1) + ms(20) * round);
        let open = if round % 2 == 0 { 90 } else { 79 };
        assert!(brief(&script.count(1, open, 0)).is_empty());
    }
}

#[test]
fn two_counts_of_one_moment_are_one() {
    let mut script = Script::ready();
    assert!(brief(&script.count(1, 90, 0)).is_empty());
    assert!(brief(&script.count(1, 90, 0)).is_empty());
}

#[test]
fn owned_descriptors_are_explained() {
    let mut script = Script::ready();
    for round in 1..50 {
        script.until(s(1) + ms(20) * round);
        assert!(brief(&script.count(1, 375, 360)).is_empty());
    }
}

#[test]
fn past_the_ceiling_it_is_drained_at_once() {
    let mut script = Script::ready();
    assert_eq!(
        brief(&script.count(1, 1600, 5)),
        ["post-mortem 1 fd_ceiling", "drain 1 fd_ceiling", "spawn 2 beside 1"]
    );
}

#[test]
fn a_leak_that_goes_on_escalates() {
    let mut script = Script::ready();
    script.count(1, 500, 5);
    script.start(2);
    script.until(ms(1500));
    assert!(brief(&script.count(1, 1500, 5)).is_empty(), "nothing new");
    assert_eq!(brief(&script.count(1, 1601, 5)), ["drain 1 fd_ceiling"]);
    assert!(brief(&script.count(1, 9000, 5)).is_empty(), "past ceiling: nothing more");
    let actions = script.exit(1, "SIGTERM");
    let text = "record 1 fd_ceiling: 1601 descriptors open, ceiling 1600";
    assert_eq!(brief(&actions), [text, "notify 2 of 1"]);
}

#[test]
fn a_leaking_worker_is_drained_at_the_start_timeout() {
    let mut script = Script::ready();
    script.count(1, 500, 5);
    script.start(2);
    while script.now < s(10) {
        script.until(script.now + s(1));
        script.heartbeat(1, 0);
    }
    assert_eq!(script.now, s(10));
    let actions = script.until(s(11));
    assert_eq!(brief(&actions), ["drain 1 fd_threshold", "kill 2"]);
    assert_eq!(script.policy.state(), State::Recycling);
    let actions = script.exit(2, "SIGKILL");
    assert_eq!(
        brief(&actions),
        ["record 2 crash: not ready within 10.0 s", "notify 1 of 2", "spawn 3 beside 1"]
    );
}

#[test]
fn a_dead_replacement_of_a_leaking_worker_is_replaced() {
    let mut script = Script::ready();
    script.count(1, 500, 5);
    script.start(2);
    let actions = script.exit(2, "SIGSEGV");
    assert_eq!(
        brief(&actions),
        [
            "record 2 crash: killed by SIGSEGV before it was ready",
            "notify 1 of 2",
            "spawn 3 beside 1"
        ]
    );
}

#[test]
fn grace_ends_by_sigkill() {
    let mut script = Script::ready();
    script.count(1, 2000, 5);
    script.start(2);
    script.now(Event::Ready { generation: 2 });
    while script.now < s(10) {
        script.until(script.now + s(1));
        script.heartbeat(2, 0);
    }
    assert!(brief(&script.until(ms(10_999))).is_empty());
    assert_eq!(brief(&script.until(s(11))), ["kill 1"]);
    let actions = script.exit(1, "SIGKILL");
    assert!(matches!(&actions[0], Action::Record(record) if record.took == s(10)), "{actions:?}");
}

#[test]
fn a_high_descriptor_is_counted_at_once() {
    let mut script = Script::ready();
    assert_eq!(
        script.now(Event::HighDescriptor { generation: 1 }),
        [Action::Count { generation: 1 }]
    );
}

/// Two live already: the next one waits for the first to die, and connections in the held queue.
#[test]
fn a_third_worker_waits_for_room() {
    let mut script = Script::ready();
    script.count(1, 500, 5);
    script.start(2);
    script.now(Event::Ready { generation: 2 });
    script.count(2, 20, 5);
    assert_eq!(
        brief(&script.count(2, 2000, 5)),
        ["post-mortem 2 fd_ceiling", "drain 2 fd_ceiling"]
    );
    assert_eq!(script.policy.next_start(), None);
    let mut actions = script.exit(1, "SIGTERM");
    // The second leak in a row: its delay is a tenth of a second at most.
    actions.extend(script.until(script.now + ms(100)));
    assert_eq!(brief(&actions)[1..], ["notify 2 of 1", "spawn 3 beside 2"]);
}

/// Replaces the worker that serves, which leaks at once; returns what was done until the next one
/// was started, and how long that took.
fn leak_soon(script: &mut Script, generation: u64) -> (Vec<String>, Duration) {
    let began = script.now;
    let mut actions = script.count(generation, 500, 5);
    let next = script.policy.next_start();
    if let Some(next) = next {
        actions.extend(script.until(next));
    }
    let took = script.now - began;
    script.start(generation + 1);
    script.now(Event::Ready { generation: generation + 1 });
    script.count(generation + 1, 20, 5);
    script.heartbeat(generation + 1, 0);
    let drained = brief(&script.exit(generation, "SIGTERM"));
    assert_eq!(drained.len(), 2, "recorded and told: {drained:?}");
    (brief(&actions), took)
}

#[test]
fn leaks_soon_after_a_start_are_delayed() {
    let settings = settings_with(|settings| {
        settings.supervisor.backoff_base = s(2);
        settings.supervisor.heartbeat_timeout = s(1000);
    });
    for seed in 0..50 {
        let mut script = Script::with(settings.clone(), seed);
        script.start(1);
        script.now(Event::Ready { generation: 1 });
        script.count(1, 20, 5);
        let mut waits = Vec::new();
        for generation in 1..=8 {
            let (actions, took) = leak_soon(&mut script, generation);
            let post_mortem = format!("post-mortem {generation} fd_threshold");
            let spawn = format!("spawn {} beside {generation}", generation + 1);
            // It serves until its replacement is ready: nothing else is done meanwhile.
            assert_eq!(actions, [post_mortem, spawn]);
            let wanted = if generation >= 5 { State::LeakLoop } else { State::Running };
            assert_eq!(script.policy.state(), wanted, "after {generation}");
            waits.push(took);
        }
        assert_eq!(waits[0], Duration::ZERO, "the first at once");
        let most = |index: u32| s(30).min(s(2) * 2_u32.pow(index.saturating_sub(1)));
        for (index, wait) in (0..).zip(&waits).skip(1) {
            assert!(*wait <= most(index), "{index}: {wait:?}");
        }
        assert!(waits.iter().sum::<Duration>() > s(1), "{waits:?}");

        // A worker that stays and does not leak ends it.
        script.live_until(9, script.now + s(31));
        assert_eq!(script.policy.state(), State::Running);
        assert_eq!(leak_soon(&mut script, 9).1, Duration::ZERO);
    }
}

/// The wait is longer than the start timeout: the leaking worker serves all the same.
#[test]
fn a_leaking_worker_serves_while_its_replacement_waits() {
    let settings = settings_with(|settings| {
        settings.supervisor.backoff_base = s(1000);
        settings.supervisor.backoff_cap = s(1000);
        settings.supervisor.heartbeat_timeout = s(5000);
    });
    let mut script = Script::with(settings, 7);
    script.start(1);
    script.now(Event::Ready { generation: 1 });
    script.count(1, 20, 5);
    leak_soon(&mut script, 1);
    let began = script.now;
    assert_eq!(brief(&script.count(2, 500, 5)), ["post-mortem 2 fd_threshold"]);
    let next = script.policy.next_start().expect("it waits");
    assert!(next > began + s(20), "{next:?}");
    assert!(brief(&script.until(next - ms(1))).is_empty(), "served");
    // Past the ceiling it goes at once, and its connections wait for a second at most.
    assert_eq!(brief(&script.count(2, 1600, 5)), ["drain 2 fd_ceiling"]);
    assert!(script.policy.next_start().expect("soon") <= script.now + s(1));
    assert_eq!(brief(&script.until(next + s(1))), ["spawn 3 beside 2"]);

    // So it is for one that crosses the ceiling at once, and an operator need not wait at all.
    script.start(3);
    script.now(Event::Ready { generation: 3 });
    script.exit(2, "SIGTERM");
    let actions = script.count(3, 500, 5);
    assert_eq!(brief(&actions), ["post-mortem 3 fd_threshold"]);
    assert_eq!(brief(&script.now(Event::Restart { uid: 0 })), ["spawn 4 beside 3"]);
}

/// One that lives long enough before it leaks is none of a row.
#[test]
fn a_slow_leak_is_replaced_at_once_each_time() {
    let mut script = Script::ready();
    for generation in 1..=8 {
        script.live_until(generation, script.now + s(31));
        assert_eq!(leak_soon(&mut script, generation).1, Duration::ZERO);
        assert_eq!(script.policy.state(), State::Running);
    }
}
