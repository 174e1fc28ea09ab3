use evonic_shared::status::State;

use super::*;

#[test]
fn stop_drains_and_ends() {
    let mut script = Script::ready();
    assert_eq!(brief(&script.now(Event::Stop)), ["drain 1 stop"]);
    assert_eq!(script.policy.state(), State::Stopping);
    assert!(script.now(Event::Stop).is_empty());
    let actions = script.exit(1, "SIGTERM");
    assert_eq!(brief(&actions), ["record 1 stop: the supervisor stops", "exit"]);
    assert!(script.now(Event::Timer).is_empty(), "nothing after the end");
    assert_eq!(script.policy.deadline(), None);
}

#[test]
fn stop_kills_after_grace() {
    let mut script = Script::ready();
    script.now(Event::Stop);
    assert!(brief(&script.until(ms(10_999))).is_empty());
    assert_eq!(brief(&script.until(s(11))), ["kill 1"]);
    assert_eq!(script.policy.deadline(), None);
}

#[test]
fn stop_drains_every_worker_and_what_drains_already_goes_on() {
    let mut script = Script::ready();
    script.count(1, 2000, 5);
    script.start(2);
    script.until(s(3));
    assert_eq!(brief(&script.now(Event::Stop)), ["drain 2 stop"]);
    assert_eq!(brief(&script.until(s(11))), ["kill 1"]);
    script.exit(1, "SIGKILL");
    assert_eq!(brief(&script.until(s(13))), ["kill 2"]);
    assert_eq!(brief(&script.exit(2, "SIGKILL")).last().expect("actions"), "exit");
}

#[test]
fn stop_during_a_backoff_ends_at_once() {
    let mut script = Script::new();
    let mut generation = 0;
    while script.policy.next_start().is_none() {
        generation += 1;
        script.now(Event::Spawned { generation, pid: 1 });
        script.exit(generation, "SIGABRT");
    }
    assert_eq!(brief(&script.now(Event::Stop)), ["exit"]);
}

#[test]
fn a_worker_that_is_just_being_spawned_is_drained_when_it_runs() {
    let mut script = Script::new();
    assert!(brief(&script.now(Event::Stop)).is_empty());
    assert_eq!(brief(&script.now(Event::Spawned { generation: 1, pid: 5 })), ["drain 1 stop"]);

    let mut script = Script::new();
    script.now(Event::Stop);
    let failed = Event::SpawnFailed { generation: 1, error: "no memory".to_owned() };
    assert_eq!(brief(&script.now(failed)), ["record 1 stop: the supervisor stops", "exit"]);
}

#[test]
fn a_second_signal_cuts_the_grace_short() {
    let mut script = Script::ready();
    script.now(Event::ShortenStop);
    script.now(Event::Stop);
    script.until(s(2));
    let actions = script.now(Event::ShortenStop);
    let [Action::Drain { generation: 1, reason: Reason::Stop, grace }] = actions[..] else {
        panic!("{actions:?}")
    };
    assert_eq!(grace, SHORT_GRACE);
    assert!(script.now(Event::ShortenStop).is_empty(), "there is no third speed");
    assert!(brief(&script.until(ms(3_999))).is_empty());
    assert_eq!(brief(&script.until(s(4))), ["kill 1"]);

    let mut script = Script::new();
    script.now(Event::Stop);
    script.now(Event::ShortenStop);
    script.now(Event::Spawned { generation: 1, pid: 5 });
    assert_eq!(brief(&script.until(script.now + SHORT_GRACE)), ["kill 1"]);
}

#[test]
fn requests_during_a_stop_change_nothing() {
    let mut script = Script::ready();
    script.now(Event::Stop);
    assert!(brief(&script.now(Event::Restart { uid: 0 })).is_empty());
    assert!(brief(&script.now(Event::Reload { settings: settings(), uid: 0 })).is_empty());
    assert!(brief(&script.count(1, 9999, 5)).is_empty());
}
