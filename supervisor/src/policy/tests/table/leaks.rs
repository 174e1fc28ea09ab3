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
    let words = "record 1 fd_threshold: 408 descriptors open, threshold 400";
    assert_eq!(brief(&actions), [words, "tell 2 of 1"]);
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
    let words = "record 1 fd_ceiling: 1601 descriptors open, ceiling 1600";
    assert_eq!(brief(&actions), [words, "tell 2 of 1"]);
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
        ["record 2 crash: not ready within 10.0 s", "tell 1 of 2", "spawn 3 beside 1"]
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
            "tell 1 of 2",
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
    let actions = script.exit(1, "SIGTERM");
    assert_eq!(brief(&actions)[1..], ["tell 2 of 1", "spawn 3 beside 2"]);
}
