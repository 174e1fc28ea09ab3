//! One test for each row of the table in the module's documentation.

use evonic_shared::status::{Exit, State};

use super::{super::*, Script, ms, s, script::brief, settings};

fn counted(actions: &[Action], generation: u64) -> bool {
    actions.contains(&Action::Count { generation })
}

#[test]
fn first_worker_is_started_greeted_and_ready() {
    let mut script = Script::new();
    assert_eq!(script.log[0].1, Action::Spawn { generation: 1, predecessor: None });
    assert_eq!(script.policy.state(), State::Starting);
    script.start(1);
    let actions = script.at(ms(80), Event::Ready { generation: 1 });
    assert_eq!(brief(&actions), ["census 1"]);
    assert!(counted(&actions, 1));
    assert_eq!(script.policy.state(), State::Running);
}

#[test]
fn threshold_starts_the_replacement_first() {
    let mut script = Script::ready();
    script.until(s(2));
    let actions = script.count(1, 408, 5);
    assert_eq!(brief(&actions), ["post-mortem 1 fd_threshold", "spawn 2 beside 1"]);
    assert_eq!(script.policy.state(), State::Recycling);
    script.start(2);
    let actions = script.at(ms(2100), Event::Ready { generation: 2 });
    assert_eq!(brief(&actions), ["census 2", "drain 1 fd_threshold"]);
    script.until(ms(2150));
    let actions = script.exit(1, "SIGTERM");
    assert_eq!(
        brief(&actions),
        ["record 1 fd_threshold: 408 descriptors open, threshold 400", "tell 2 of 1"]
    );
    let Some((_, Action::Record(record))) =
        script.log.iter().find(|(_, action)| matches!(action, Action::Record(_)))
    else {
        panic!("no record");
    };
    assert_eq!((record.pid, record.fd_open), (1001, 408));
    assert_eq!((record.took, record.decided_at), (ms(150), s(2)));
    assert_eq!(record.lived, ms(2150));
    assert_eq!(script.policy.state(), State::Running);
}
