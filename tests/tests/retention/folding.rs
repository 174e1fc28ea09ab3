//! Logs that are folded, and cursors into them.

use std::time::Duration;

use evonic_tests::{
    http::EventStream,
    pair::{Options, Pair},
    poll,
    scripted::{Scripted, Server},
};
use serde_json::json;

use crate::{CONFIG, PASS, change_database, events, mark, metric, pass_days, wait_for_storage};

#[test]
fn a_log_is_folded_and_a_cursor_into_it_is_reset() {
    let pieces: Vec<String> = (0..6).map(|number| format!("piece {number} ")).collect();
    let model = Server::start(vec![Scripted::Text(pieces.clone(), Duration::from_millis(120))]);
    let options = Options::config(&format!(
        "{CONFIG}[models.slow]\nbase_url = \"http://{}/v1\"\nmodel = \"m\"\n",
        model.address
    ));
    let mut pair = Pair::start(&options);
    let agent = json!({"name": "slow", "model": "slow"});
    let _ = pair.expect(201, "POST", "/api/v1/agents", Some(&agent));
    let session = pair.session("slow");
    let turn = pair.post(&session, "say it");
    assert_eq!(pair.wait_for_turn(&turn)["state"], "completed");
    let shell = pair.session("runbook");
    let turn = pair.post(&shell, "$ echo shown twice");
    assert_eq!(pair.wait_for_turn(&turn)["state"], "completed");
    let before = events(&pair, &session);
    let deltas = before.iter().filter(|(_, name)| name == "text.delta").count();
    assert!(deltas >= 3, "{before:?}");
    assert!(events(&pair, &shell).iter().any(|(_, name)| name == "tool.output"));

    change_database(&mut pair, &options, |connection| {
        mark(connection);
        pass_days(connection, 3);
    });
    let whole: Vec<_> = before.iter().filter(|(_, name)| name != "text.delta").cloned().collect();
    poll::until(
        "the log is folded",
        PASS,
        || events(&pair, &session),
        |now| (*now == whole).then_some(()),
    );
    poll::until(
        "so is the output that its result has",
        PASS,
        || events(&pair, &shell),
        |now| {
            now.iter().all(|(_, name)| name != "tool.output" && name != "text.delta").then_some(())
        },
    );
    assert!(
        metric(&pair, "evonic_retention_removed_total{what=\"event\"}").unwrap() >= deltas as f64
    );

    // From the beginning: what is there, and nothing to forget.
    let last = before.last().unwrap().0;
    assert_eq!(follow(&pair, &session, 0, last).0, whole);
    // In the middle of the pieces: what the client has of the step is void.
    let middle = before.iter().find(|(_, name)| name == "text.delta").unwrap().0 + 1;
    let (followed, reset) = follow(&pair, &session, middle, last);
    assert_eq!(reset.as_deref(), Some(r#"{"last_event":0,"reason":"folded"}"#));
    assert_eq!(followed, whole);
    // At the end nothing is missing; beyond it there is nothing.
    let (followed, reset) = follow(&pair, &session, last + 7, last);
    assert_eq!(
        (followed, reset.as_deref()),
        (vec![], Some(&*format!("{{\"last_event\":{last},\"reason\":\"ahead\"}}")))
    );

    // It goes on as before.
    let turn = pair.post(&session, "once more");
    assert_eq!(pair.wait_for_turn(&turn)["state"], "completed");
    assert_eq!(events(&pair, &session)[whole.len()].0, last + 1);
    let shown = crate::evonic(&pair, &["session", "show", &session]);
    assert!(shown.contains("piece 0 piece 1"), "{shown}");
    wait_for_storage(&pair, "sessions are counted", |storage| storage["sessions"] == 2);
}

/// The events after a number, up to one; what a first `reset` says.
fn follow(
    pair: &Pair,
    session: &str,
    after: u64,
    last: u64,
) -> (Vec<(u64, String)>, Option<String>) {
    let connection = pair.operator().expect("a connection");
    let mut stream = EventStream::open(connection, session, after).expect("a stream");
    let (mut followed, mut reset) = (Vec::new(), None);
    let mut at = 0;
    while at < last {
        let event = stream.next_event().expect("an event").expect("no end");
        at = event.id;
        if event.name == "reset" {
            assert!(followed.is_empty(), "it is not the first");
            reset = Some(event.data);
        } else {
            followed.push((event.id, event.name));
        }
    }
    (followed, reset)
}
