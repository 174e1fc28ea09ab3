use std::collections::BTreeMap;

use evonic_shared::{control::Part, status::PartHealth};

use super::*;

fn heartbeat(script: &mut Script, ages: [(Part, u64); 3]) -> Vec<Action> {
    let age: BTreeMap<Part, Duration> =
        ages.into_iter().map(|(part, age)| (part, ms(age))).collect();
    script.now(Event::Heartbeat { generation: 1, age })
}

fn finding(actions: &[Action]) -> Option<&str> {
    actions.iter().find_map(|action| match action {
        Action::PostMortem { detail, reason: Reason::Unhealthy, .. } => Some(detail.as_str()),
        _ => None,
    })
}

#[test]
fn one_part_that_stops_is_named() {
    let mut script = Script::ready();
    for beat in 1..=2 {
        script.until(s(1 + 2 * beat));
        let stopped = 100 + 2000 * (beat - 1);
        let actions =
            heartbeat(&mut script, [(Part::Http, 3), (Part::Store, stopped), (Part::Agents, 3)]);
        assert_eq!(finding(&actions), None);
    }
    let actions = script.until(s(7));
    assert_eq!(finding(&actions), Some("store has not checked in for 4.0 s"));
    assert_eq!(
        brief(&actions),
        ["post-mortem 1 unhealthy", "drain 1 unhealthy", "spawn 2 beside 1"]
    );
    assert_eq!(script.log.last().expect("logged").0, ms(6900));
    let (_, old) = script.policy.workers();
    let health = &old.expect("it drains").health;
    assert_eq!(health.of(Part::Store, script.now, s(4)), PartHealth::Late);
    assert_eq!(health.of(Part::Http, script.now, s(4)), PartHealth::Ok);
}

#[test]
fn an_age_past_the_timeout_is_found_with_the_heartbeat_itself() {
    let mut script = Script::ready();
    script.until(ms(3500));
    script.heartbeat(1, 0);
    script.until(ms(5500));
    let actions = heartbeat(&mut script, [(Part::Http, 3), (Part::Store, 3), (Part::Agents, 4100)]);
    assert_eq!(finding(&actions), Some("agents has not checked in for 4.1 s"));
}

#[test]
fn silence_is_called_silence() {
    let mut script = Script::ready();
    script.until(s(3));
    script.heartbeat(1, 120);
    let actions = script.until(s(8));
    assert_eq!(finding(&actions), Some("no heartbeat for 3.9 s"));
}

#[test]
fn a_fresh_worker_has_the_whole_timeout() {
    let mut script = Script::new();
    script.start(1);
    script.heartbeat(1, 0);
    script.at(s(9), Event::Ready { generation: 1 });
    script.count(1, 20, 5);
    assert_eq!(finding(&script.until(ms(12_999))), None);
    assert_eq!(finding(&script.until(s(13))), Some("no heartbeat for 4.0 s"));
}

#[test]
fn a_late_worker_that_is_being_replaced_is_drained_at_once() {
    let mut script = Script::ready();
    script.now(Event::Restart { uid: 0 });
    script.start(2);
    let actions = script.until(s(5));
    assert_eq!(brief(&actions), ["post-mortem 1 unhealthy", "drain 1 unhealthy"]);
}

#[test]
fn two_probes_in_a_row() {
    let mut script = Script::ready();
    let probe = |answered| Event::Probe { generation: 1, answered };
    for answered in [false, true, false, true, false] {
        assert!(script.now(probe(answered)).is_empty());
    }
    let actions = script.now(probe(false));
    assert_eq!(finding(&actions), Some("2 probes in a row were not answered"));
    assert!(brief(&actions).contains(&"drain 1 unhealthy".to_owned()));
}

/// Looks at the accept queue as the event loop does: with each count.
fn queue(
    script: &mut Script,
    from: Instant,
    until: Instant,
    waiting: impl Fn(u64) -> u32,
) -> Vec<Action> {
    script.until(from);
    let mut actions = script.now(Event::AcceptQueue { waiting: waiting(0) });
    let mut look = 0;
    while let Some(deadline) = script.policy.deadline().filter(|at| *at <= until) {
        let due = script.until(deadline);
        if due.iter().any(|action| matches!(action, Action::Count { .. })) {
            look += 1;
            actions.extend(script.now(Event::AcceptQueue { waiting: waiting(look) }));
        }
        actions.extend(due);
        if look % 7 == 0 {
            script.heartbeat(1, 0);
        }
    }
    actions
}

#[test]
fn a_queue_that_stands_is_found_in_time() {
    for waiting in [7, 1] {
        let mut script = Script::ready();
        let actions = queue(&mut script, s(2), s(5), |_| waiting);
        let text = match waiting {
            1 => "1 connection has waited 2.0 s without being accepted".to_owned(),
            _ => format!("{waiting} connections have waited 2.0 s without being accepted"),
        };
        assert_eq!(finding(&actions), Some(text.as_str()));
        let found =
            script.log.iter().find(|(_, action)| matches!(action, Action::PostMortem { .. }));
        assert_eq!(found.expect("found").0, s(4));
    }
}

#[test]
fn a_queue_that_only_grows_is_found() {
    let mut script = Script::ready();
    let actions = queue(&mut script, s(2), s(5), |look| 3 + look as u32);
    assert!(finding(&actions).is_some());
}

#[test]
fn a_busy_queue_that_shrinks_now_and_then_is_none() {
    let mut script = Script::ready();
    let actions = queue(&mut script, s(2), s(20), |look| 20 + (look as u32 * 7) % 5);
    assert_eq!(finding(&actions), None);
}

#[test]
fn an_empty_queue_asks_for_no_look() {
    let mut script = Script::ready();
    let before = script.policy.deadline();
    script.now(Event::AcceptQueue { waiting: 3 });
    assert_eq!(script.policy.deadline(), Some(s(1) + ms(250)));
    script.now(Event::AcceptQueue { waiting: 0 });
    assert_eq!(script.policy.deadline(), before);
}

#[test]
fn the_queue_is_no_finding_while_a_worker_starts() {
    let mut script = Script::ready();
    script.now(Event::Restart { uid: 0 });
    script.start(2);
    let actions = queue(&mut script, ms(1100), s(4), |_| 9);
    assert_eq!(finding(&actions), None);
    script.now(Event::Ready { generation: 2 });
    let actions = queue(&mut script, s(4), ms(5900), |_| 9);
    assert_eq!(finding(&actions), None, "it has just begun to accept");
}

/// It is told so by a signal, whatever its deadlines were.
#[test]
fn a_supervisor_that_was_stopped_restarts_every_deadline() {
    let mut script = Script::ready();
    script.until(ms(4900));
    script.now(Event::Resumed);
    script.now(Event::AcceptQueue { waiting: 9 });
    script.until(ms(8500));
    assert_eq!(finding(&script.now(Event::AcceptQueue { waiting: 9 })), None);
    assert_eq!(finding(&script.until(ms(8899))), None);
    assert_eq!(finding(&script.until(ms(8900))), Some("no heartbeat for 4.0 s"));
    let killed = |actions: &[Action]| brief(actions).iter().any(|text| text.starts_with("kill 1"));
    script.until(s(18));
    script.now(Event::Resumed);
    assert!(!killed(&script.until(ms(27_999))), "its grace starts anew");
    assert!(killed(&script.until(s(28))));
}

/// A frozen, stopped or starved supervisor receives nothing: that proves nothing of the worker.
#[test]
fn a_supervisor_that_overslept_blames_no_worker() {
    let mut script = Script::ready();
    script.now(Event::AcceptQueue { waiting: 9 });
    script.now = s(60);
    assert_eq!(finding(&script.now(Event::AcceptQueue { waiting: 9 })), None);
    assert_eq!(finding(&script.now(Event::Timer)), None);
    assert_eq!(finding(&script.until(ms(63_999))), None);
    assert_eq!(finding(&script.until(s(64))), Some("no heartbeat for 4.0 s"));
}
