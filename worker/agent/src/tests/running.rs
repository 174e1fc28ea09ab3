//! Turns from their claim to their end.

use std::{collections::BTreeSet, time::Duration};

use super::harness::Harness;
use evonic_domain::{Item, ToolCall, TurnErrorCode, TurnState, WaitReason, Waiting};
use evonic_store::NewReply;

#[test]
fn a_turn_is_run_step_by_step_and_said_in_order() {
    let harness = Harness::open();
    let worker = harness.worker(1, None);
    let (session, turn) = harness.runbook("$ echo one\nwrite two.txt \"2\\n\"\nread two.txt\n");
    worker.agents.wake();
    let ended = harness.ended(&turn);
    assert_eq!(
        (ended.state, ended.steps),
        (TurnState::Completed, 4),
        "{:?}",
        harness.results(&turn)
    );
    assert_eq!(harness.lines("two.txt"), ["2"]);
    assert_eq!(harness.results(&turn).len(), 3);
    let steps: Vec<_> =
        harness.event_names(&session).into_iter().filter(|name| name != "text.delta").collect();
    let step = ["step.completed", "tool.started", "tool.completed"];
    let expected = [
        &["message.created", "turn.started"][..],
        &["step.completed", "tool.started", "tool.output", "tool.completed"],
        &step,
        &step,
        &["step.completed", "message.created", "turn.completed"],
    ];
    assert_eq!(steps, expected.concat());
}

#[test]
fn output_is_said_while_the_command_runs() {
    let harness = Harness::open();
    let worker = harness.worker(1, None);
    let (session, turn) = harness.runbook("$ echo early; until [ -e go ]; do sleep 0.01; done\n");
    worker.agents.wake();
    harness.said(&session, "tool.output");
    assert_eq!(harness.turn(&turn).state, TurnState::Running);
    assert_eq!(worker.agents.running(), 1);
    std::fs::write(harness.workplace("go"), "").unwrap();
    assert_eq!(harness.ended(&turn).state, TurnState::Completed);
    harness.until("empty running_turns", || worker.agents.running(), |&running| running == 0);
}

#[test]
fn turns_of_one_session_come_one_after_the_other_and_of_many_at_once() {
    let harness = Harness::with(|config| config.agents.workers = 3);
    let worker = harness.worker(1, None);
    let sessions: Vec<_> = (0..4).map(|_| harness.session("runbook", None)).collect();
    let mut turns = Vec::new();
    for round in 0..5 {
        for (name, session) in sessions.iter().enumerate() {
            let line = format!("$ echo {round} >> {name}; cat {name} >> all; sleep 0.02\n");
            turns.push(harness.post(session, &line));
            worker.agents.wake();
        }
    }
    let ended: BTreeSet<_> = turns.iter().map(|turn| harness.ended(turn).state.name()).collect();
    assert_eq!(ended, ["completed"].into());
    for name in 0..4 {
        assert_eq!(harness.lines(&name.to_string()), ["0", "1", "2", "3", "4"]);
    }
}

#[test]
fn no_more_than_the_configured_number_run_at_once() {
    let harness = Harness::with(|config| {
        (config.agents.workers, config.agents.reserved_workers) = (2, 0);
    });
    let worker = harness.worker(1, None);
    let wait = "$ mkdir -p now && touch now/$$; ls now | wc -l >> counts; \
                until [ -e go ]; do sleep 0.01; done; rm now/$$\n";
    let turns: Vec<_> = (0..5).map(|_| harness.runbook(wait).1).collect();
    worker.agents.wake();
    harness.until("two commands", || harness.lines("counts").len(), |&lines| lines == 2);
    assert_eq!(worker.agents.running(), 2);
    std::fs::write(harness.workplace("go"), "").unwrap();
    for turn in &turns {
        assert_eq!(harness.ended(turn).state, TurnState::Completed);
    }
    let counts = harness.lines("counts");
    assert_eq!(counts.len(), 5);
    assert!(counts.iter().all(|count| count.parse::<u32>().unwrap() <= 2), "{counts:?}");
}

#[test]
fn a_turn_that_does_not_come_to_an_end_fails() {
    let harness = Harness::with(|config| config.agents.max_steps = 2);
    let worker = harness.worker(1, None);
    let (_, turn) = harness.runbook("$ echo 1\n$ echo 2\n$ echo 3\n");
    worker.agents.wake();
    let ended = harness.ended(&turn);
    assert_eq!((ended.state, ended.steps), (TurnState::Failed, 2));
    assert_eq!(ended.error.unwrap().code, TurnErrorCode::TooManySteps);
}

#[test]
fn a_model_that_nobody_configured_fails_its_turn() {
    let harness = Harness::open();
    let worker = harness.worker(1, None);
    let turn = harness.post(&harness.session("nowhere", None), "hello");
    worker.agents.wake();
    let error = harness.ended(&turn).error.unwrap();
    assert_eq!(
        (error.code.name(), error.message.as_str()),
        ("model_unknown", "no model nowhere is configured")
    );
}

#[test]
fn a_tool_that_the_agent_does_not_have_is_not_run() {
    let harness = Harness::open();
    let session = harness.session("runbook", Some(&["read_file"]));
    let turn = harness.post(&session, "read notes.txt\n");
    // A model that calls what it was not told of.
    harness.as_another(1, |writer, lease| {
        let arguments = r#"{"command":"touch touched"}"#.to_owned();
        let call = ToolCall { id: "step-1".to_owned(), name: "bash".to_owned(), arguments };
        writer.record_reply(
            lease,
            NewReply { text: String::new(), tool_calls: vec![call], ..NewReply::default() },
        )?;
        writer.hand_over(lease)
    });
    let _worker = harness.worker(2, None);
    harness.ended(&turn);
    assert!(!harness.workplace("touched").exists());
    let refused = "There is no tool bash. This agent has: read_file.".to_owned();
    assert_eq!(harness.results(&turn), [("error", refused)]);
}

#[test]
fn a_result_that_cannot_be_committed_is_kept_until_it_can() {
    let harness = Harness::with(|config| config.store.busy_timeout = Duration::from_millis(20));
    let worker = harness.worker(1, None);
    let (_, turn) = harness.runbook(
        "$ echo ran >> runs; touch started; until [ -e go ]; do sleep 0.01; done; touch done\n",
    );
    worker.agents.wake();
    harness.until("start", || harness.workplace("started").exists(), |&exists| exists);
    #[expect(clippy::disallowed_methods, reason = "another process's lock, held by this one")]
    let other = rusqlite::Connection::open(harness.database()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    std::fs::write(harness.workplace("go"), "").unwrap();
    harness.until("end of the command", || harness.workplace("done").exists(), |&exists| exists);
    // Long enough for some attempts: none of them may give the turn up.
    harness.pause(Duration::from_millis(300));
    assert_eq!(worker.agents.running(), 1);
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(harness.ended(&turn).state, TurnState::Completed);
    assert_eq!(harness.lines("runs"), ["ran"], "the command was run again");
    assert_eq!(harness.results(&turn)[0].0, "ok");
}

#[test]
fn the_next_turn_is_shown_what_the_last_one_did() {
    let harness = Harness::open();
    let worker = harness.worker(1, None);
    let session = harness.session("runbook", None);
    let first = harness.post(&session, "$ echo first\n");
    let second = harness.post(&session, "$ echo second\n");
    worker.agents.wake();
    harness.ended(&first);
    assert_eq!(harness.ended(&second).state, TurnState::Completed);
    let users = |items: Vec<Item>| {
        items.into_iter().filter(|item| matches!(item, Item::User { .. })).count()
    };
    assert_eq!((users(harness.items(&first)), users(harness.items(&second))), (1, 2));
    assert_eq!(harness.results(&second).len(), 2);
}

/// Whose budget is gone, or has a new period by now, needs nobody to say so.
#[test]
fn a_turn_that_waits_for_no_reason_any_more_goes_on_with_the_next_worker() {
    let harness = Harness::open();
    let (_, turn) = harness.runbook("$ echo one\n");
    harness.as_another(1, |writer, lease| {
        let until = evonic_store::time_after(Duration::from_secs(3600));
        let message = "budget all is reached".to_owned();
        writer.wait_turn(lease, &Waiting { reason: WaitReason::Budget, until, message })
    });
    assert!(harness.turn(&turn).waiting.is_some());
    let _worker = harness.worker(2, Some(1));
    assert_eq!(harness.ended(&turn).state, TurnState::Completed);
}
