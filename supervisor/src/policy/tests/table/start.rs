use evonic_shared::status::{Exit, State, WorkerState};

use super::*;

#[test]
fn the_first_worker_is_started_greeted_and_ready() {
    let mut script = Script::new();
    assert_eq!(script.log[0].1, Action::Spawn { generation: 1, predecessor: None });
    assert_eq!(script.policy.state(), State::Starting);
    script.start(1);
    let actions = script.at(ms(80), Event::Ready { generation: 1 });
    assert_eq!(brief(&actions), ["census 1"]);
    assert!(counts(&actions, 1), "for the baseline");
    assert_eq!(script.policy.state(), State::Running);
    script.count(1, 20, 5);
    let (worker, predecessor) = script.policy.workers();
    let worker = worker.expect("it serves");
    assert_eq!((worker.pid, worker.state()), (1001, WorkerState::Ready));
    assert_eq!((worker.baseline, worker.budget), (Some(15), Some(100)));
    assert!(predecessor.is_none());
}

#[test]
fn no_hello_within_the_timeout_is_a_crash() {
    let mut script = Script::new();
    script.now(Event::Spawned { generation: 1, pid: 9 });
    assert_eq!(brief(&script.until(ms(9999))), [""; 0]);
    assert_eq!(brief(&script.until(s(10))), ["kill 1", "spawn 2 beside 1"]);
    assert_eq!(script.policy.last_error(), Some("no hello within 10.0 s"));
    script.now(Event::Spawned { generation: 2, pid: 10 });
    let actions = script.exit(1, "SIGKILL");
    assert_eq!(brief(&actions), ["record 1 crash: no hello within 10.0 s", "notify 2 of 1"]);
}

#[test]
fn hello_without_ready_within_the_timeout_is_a_crash() {
    let mut script = Script::new();
    script.start(1);
    assert_eq!(brief(&script.until(s(10))), ["kill 1", "spawn 2 beside 1"]);
    assert_eq!(script.policy.last_error(), Some("not ready within 10.0 s"));
}

#[test]
fn ready_counts_only_after_hello_and_once() {
    let mut script = Script::new();
    script.now(Event::Spawned { generation: 1, pid: 9 });
    assert!(script.now(Event::Ready { generation: 1 }).is_empty());
    script.now(Event::Hello { proposed: 1, generation: 1, budget: 100 });
    assert_eq!(brief(&script.now(Event::Ready { generation: 1 })), ["census 1"]);
    assert!(script.now(Event::Ready { generation: 1 }).is_empty());
    assert!(script.now(Event::Hello { proposed: 1, generation: 4, budget: 1 }).is_empty());
}

#[test]
fn a_worker_may_take_a_higher_generation() {
    let mut script = Script::new();
    script.now(Event::Spawned { generation: 1, pid: 9 });
    script.now(Event::Hello { proposed: 1, generation: 41, budget: 100 });
    assert!(script.now(Event::Ready { generation: 1 }).is_empty(), "nobody has this name now");
    assert_eq!(brief(&script.now(Event::Ready { generation: 41 })), ["census 41"]);
    assert_eq!(brief(&script.now(Event::Restart { uid: 0 })), ["spawn 42 beside 41"]);
}

#[test]
fn a_worker_may_not_take_a_lower_generation_nor_the_last_one() {
    for generation in [6, u64::MAX] {
        let (mut policy, _) = Policy::new(settings(), 7, 1);
        let _ = policy.step(Event::Spawned { generation: 7, pid: 9 }, ms(1));
        let actions = policy.step(Event::Hello { proposed: 7, generation, budget: 1 }, ms(2));
        assert_eq!(brief(&actions), ["kill 7", "spawn 8 beside 7"]);
    }
}

#[test]
fn a_starting_worker_past_the_ceiling_is_drained_and_delayed_as_a_crash() {
    let mut script = Script::new();
    script.start(1);
    assert!(brief(&script.count(1, 1599, 0)).is_empty(), "below it nothing matters yet");
    assert_eq!(
        brief(&script.count(1, 1600, 0)),
        ["post-mortem 1 fd_ceiling", "drain 1 fd_ceiling", "spawn 2 beside 1"]
    );
    script.start(2);
    assert_eq!(
        brief(&script.count(2, 1700, 0)),
        ["post-mortem 2 fd_ceiling", "drain 2 fd_ceiling"]
    );
    script.exit(1, "SIGTERM");
    let next = script.policy.next_start().expect("the second in a row waits");
    assert!(next <= script.now + ms(100), "{next:?}");
}

#[test]
fn a_starting_worker_is_counted_at_leisure() {
    let mut script = Script::new();
    script.start(1);
    assert!(counts(&script.until(s(2)), 1));
}

#[test]
fn what_is_opened_before_ready_is_no_leak() {
    let mut script = Script::new();
    script.start(1);
    for step in 1..=20 {
        script.until(ms(20) * step);
        script.count(1, 15 * step, 0);
    }
    let rate = |script: &Script| {
        let leak = script.policy.workers().0.expect("it lives").leak(script.now, 400);
        leak.map_or(0.0, |(per_second, _)| per_second)
    };
    assert!(rate(&script) > 700.0, "on the way to the ceiling");
    script.now(Event::Ready { generation: 1 });
    script.count(1, 300, 0);
    assert_eq!(rate(&script), 0.0);
    script.until(s(1));
    assert!(brief(&script.count(1, 364, 0)).is_empty(), "64 above the baseline");
}

#[test]
fn unknown_generations_are_ignored() {
    let mut script = Script::ready();
    let generation = 77;
    for event in [
        Event::Spawned { generation, pid: 1 },
        Event::SpawnFailed { generation, error: String::new() },
        Event::Hello { proposed: generation, generation, budget: 1 },
        Event::Ready { generation },
        Event::Heartbeat { generation, age: std::collections::BTreeMap::new() },
        Event::Draining { generation },
        Event::Counted { generation, open: 9999, owned: 0 },
        Event::HighDescriptor { generation },
        Event::Probe { generation, answered: false },
        Event::Probe { generation, answered: false },
        Event::Exited { generation, exit: Exit::Code { code: 0 } },
    ] {
        assert_eq!(script.now(event.clone()), [], "{event:?}");
    }
}
