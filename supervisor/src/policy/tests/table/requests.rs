use evonic_shared::status::{Exit, State};

use super::*;

#[test]
fn a_restart_replaces_without_a_gap() {
    let mut script = Script::ready();
    assert_eq!(brief(&script.now(Event::Restart { uid: 0 })), ["spawn 2 beside 1"]);
    script.start(2);
    let actions = script.now(Event::Ready { generation: 2 });
    assert_eq!(brief(&actions), ["census 2", "drain 1 requested"]);
    let actions = script.exit(1, "SIGTERM");
    assert_eq!(
        brief(&actions),
        ["record 1 requested: an operator asked for it (uid 0)", "notify 2 of 1"]
    );
}

#[test]
fn restarts_while_one_is_on_its_way_are_answered_by_it() {
    let mut script = Script::ready();
    script.now(Event::Restart { uid: 0 });
    script.start(2);
    assert!(brief(&script.now(Event::Restart { uid: 0 })).is_empty());
    script.now(Event::Ready { generation: 2 });
    let actions = script.exit(1, "SIGTERM");
    assert_eq!(brief(&actions).len(), 2, "no third worker");
    assert_eq!(script.policy.state(), State::Running);
}

/// Generation and outcome of each answer to those who wait.
fn answers(actions: &[Action]) -> Vec<(u64, Result<(), String>)> {
    let answer = |action: &Action| match action {
        Action::Answer { generation, outcome } => Some((*generation, outcome.clone())),
        _ => None,
    };
    actions.iter().filter_map(answer).collect()
}

fn refused(script: &mut Script, generation: u64) -> Vec<Action> {
    let reason = "no.pem: it is missing".to_owned();
    script.now(Event::Failed { generation, reason });
    script.now(Event::Exited { generation, exit: Exit::Code { code: 80 } })
}

#[test]
fn a_restart_has_one_true_answer() {
    let mut script = Script::ready();
    assert_eq!(script.policy.answers_restart(), 2);
    script.now(Event::Restart { uid: 0 });
    script.start(2);
    assert_eq!(script.policy.answers_restart(), 2, "it is the answer");
    assert_eq!(script.policy.answers_reload(), 3, "it may have the old settings");
    let sentence = "exited with code 80 (a certificate, key or secret cannot be used) before it \
                    was ready: no.pem: it is missing";
    let actions = refused(&mut script, 2);
    assert_eq!(answers(&actions), [(2, Err(sentence.to_owned()))]);
    assert_eq!(script.policy.last_error(), Some(sentence));
    assert_eq!(brief(&actions)[0], format!("record 2 crash: {sentence}"));
    assert_eq!(script.policy.answers_restart(), 3);
    // A crash that may not come again ends a restart, too: the worker from before serves on.
    script.now(Event::Restart { uid: 0 });
    script.start(3);
    assert_eq!(answers(&script.exit(3, "SIGKILL")).len(), 1);
    script.now(Event::Restart { uid: 0 });
    script.until(script.policy.next_start().unwrap_or(script.now));
    script.start(4);
    assert_eq!(answers(&script.now(Event::Ready { generation: 4 })), [(4, Ok(()))]);
}

#[test]
fn without_a_worker_that_serves_only_a_permanent_failure_is_an_answer() {
    let mut script = Script::new();
    script.start(1);
    assert_eq!(script.policy.answers_restart(), 1);
    assert!(answers(&script.exit(1, "SIGKILL")).is_empty(), "the next one may be ready");
    script.start(2);
    assert_eq!(answers(&refused(&mut script, 2)).len(), 1);
}

/// What starts has the old settings: that it fails is no answer to a reload, nor its end.
#[test]
fn a_reload_goes_on_when_what_starts_with_the_old_settings_fails() {
    let mut script = Script::ready();
    script.now(Event::Restart { uid: 0 });
    script.start(2);
    script.now(Event::Reload { settings: settings(), uid: 0 });
    assert!(answers(&refused(&mut script, 2)).is_empty());
    script.until(script.policy.next_start().unwrap_or(script.now));
    script.start(3);
    assert_eq!(answers(&script.now(Event::Ready { generation: 3 })), [(3, Ok(()))]);
}

#[test]
fn a_worker_with_the_old_settings_is_no_answer_whatever_generation_it_takes() {
    let mut script = Script::ready();
    script.now(Event::Restart { uid: 0 });
    script.now(Event::Spawned { generation: 2, pid: 5 });
    let wanted = script.policy.answers_reload();
    script.now(Event::Reload { settings: settings(), uid: 0 });
    script.now(Event::Hello { proposed: 2, generation: wanted + 4, budget: 100 });
    assert!(answers(&script.now(Event::Ready { generation: wanted + 4 })).is_empty());
    script.exit(1, "SIGTERM");
    script.start(wanted + 5);
    let actions = script.now(Event::Ready { generation: wanted + 5 });
    assert_eq!(answers(&actions), [(wanted + 5, Ok(()))]);
}

#[test]
fn a_reload_holds_at_once_and_replaces() {
    let mut script = Script::ready();
    let lower = settings_with(|settings| settings.fd.threshold = 30);
    let actions = script.now(Event::Reload { settings: lower, uid: 0 });
    assert_eq!(brief(&actions), ["spawn 2 beside 1"]);
    script.start(2);
    script.now(Event::Ready { generation: 2 });
    script.exit(1, "SIGTERM");
    script.count(2, 20, 5);
    assert_eq!(brief(&script.count(2, 30, 15))[0], "post-mortem 2 fd_threshold");
}

/// What starts may have read the old configuration: it is replaced once, however often one reloads.
#[test]
fn a_reload_during_a_start_queues_one_replacement() {
    let mut script = Script::ready();
    script.now(Event::Reload { settings: settings(), uid: 0 });
    script.start(2);
    for _ in 0..3 {
        assert!(brief(&script.now(Event::Reload { settings: settings(), uid: 0 })).is_empty());
    }
    let actions = script.now(Event::Ready { generation: 2 });
    assert_eq!(brief(&actions), ["census 2", "drain 1 requested"]);
    let actions = script.exit(1, "SIGTERM");
    assert_eq!(brief(&actions)[1..], ["notify 2 of 1", "spawn 3 beside 2"]);
    script.start(3);
    script.now(Event::Ready { generation: 3 });
    let actions = script.exit(2, "SIGTERM");
    assert_eq!(
        brief(&actions),
        ["record 2 requested: the configuration was read again (uid 0)", "notify 3 of 2"]
    );
    assert_eq!(script.policy.state(), State::Running);
}

#[test]
fn a_request_is_given_up_when_the_replacement_dies() {
    let mut script = Script::ready();
    script.now(Event::Restart { uid: 0 });
    script.start(2);
    let actions = script.exit(2, "SIGABRT");
    assert_eq!(
        brief(&actions),
        ["record 2 crash: killed by SIGABRT before it was ready", "notify 1 of 2"]
    );
    assert_eq!(script.policy.state(), State::Running);
    assert_eq!(script.policy.last_error(), Some("killed by SIGABRT before it was ready"));
    assert_eq!(script.policy.next_start(), None);
    script.live_until(1, s(60));
    assert!(script.policy.workers().1.is_none(), "it goes on serving");
}

#[test]
fn a_request_is_given_up_when_the_replacement_hangs() {
    let mut script = Script::ready();
    script.now(Event::Restart { uid: 0 });
    script.start(2);
    script.live_until(1, s(12));
    let tail: Vec<Action> = script.log.iter().map(|(_, action)| action.clone()).collect();
    assert_eq!(brief(&tail).last().expect("killed"), "kill 2");
    let (worker, predecessor) = script.policy.workers();
    assert_eq!(worker.expect("it serves").generation, 1);
    assert_eq!(predecessor.expect("it ends").generation, 2);
    script.exit(2, "SIGKILL");
    assert_eq!(script.policy.state(), State::Running);
}

#[test]
fn a_request_ends_a_backoff() {
    for event in [Event::Restart { uid: 0 }, Event::Reload { settings: settings(), uid: 0 }] {
        let mut script = Script::new();
        let mut generation = 0;
        while script.policy.next_start().is_none() {
            generation += 1;
            script.now(Event::Spawned { generation, pid: 1 });
            script.exit(generation, "SIGABRT");
        }
        let actions = script.now(event);
        assert_eq!(brief(&actions), [format!("spawn {}", generation + 1)]);
    }
}

#[test]
fn a_request_for_a_worker_whose_predecessor_drains_waits_for_room() {
    let mut script = Script::ready();
    script.now(Event::Restart { uid: 0 });
    script.start(2);
    script.now(Event::Ready { generation: 2 });
    assert!(brief(&script.now(Event::Restart { uid: 0 })).is_empty());
    let actions = script.exit(1, "SIGTERM");
    assert_eq!(brief(&actions)[1..], ["notify 2 of 1", "spawn 3 beside 2"]);
}

#[test]
fn a_leak_found_during_a_request_is_no_longer_waited_for() {
    let mut script = Script::ready();
    script.now(Event::Restart { uid: 0 });
    script.start(2);
    assert_eq!(brief(&script.count(1, 500, 5)), ["post-mortem 1 fd_threshold"]);
    script.exit(2, "SIGABRT");
    script.until(s(3));
    script.heartbeat(1, 0);
    assert_eq!(script.policy.state(), State::Recycling, "the leak goes on");
}
