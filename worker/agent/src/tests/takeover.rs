//! Turns of workers that are dead, living rivals, fences.

use std::time::Duration;

use evonic_shared::config::Lost;

use super::harness::Harness;
use evonic_domain::{EventKind, ToolCall, TurnErrorCode, TurnState};
use evonic_store::NewReply;
use evonic_store::PendingCall;

pub(super) fn call(name: &str, arguments: &str) -> ToolCall {
    ToolCall { id: "step-1".to_owned(), name: name.to_owned(), arguments: arguments.to_owned() }
}

/// Leaves a turn as a worker that died just when it was about to run this call.
pub(super) fn die_before(harness: &Harness, call: ToolCall) {
    harness.as_another(1, move |writer, lease| {
        writer.record_reply(
            lease,
            NewReply { text: String::new(), tool_calls: vec![call.clone()], ..NewReply::default() },
        )?;
        let command_id = format!("test_{}", uuid::Uuid::now_v7().simple());
        writer.start_call(lease, &PendingCall::new(call, &command_id, "local"))
    });
}

/// Everything that a killed worker held is gone; what it had started goes on.
#[test]
fn a_command_goes_on_while_one_worker_after_the_other_dies() {
    const LINES: usize = 60;
    let harness = Harness::open();
    let (session, turn) = harness.runbook(&format!(
        "$ echo ran >> runs; for i in $(seq {LINES}); do echo \"line $i é\"; sleep 0.02; done; exit 7\n"
    ));
    let whole: String = (1..=LINES).map(|i| format!("line {i} é\n")).collect();
    for generation in 1..=4 {
        let worker = harness.worker(generation, generation.checked_sub(1));
        worker.agents.wake();
        let lines = usize::try_from(generation).unwrap() * 10;
        harness.until("output", || harness.shown(&session), |shown| shown.lines().count() >= lines);
        drop(worker);
    }
    let _last = harness.worker(5, Some(4));
    assert_eq!(harness.ended(&turn).state, TurnState::Completed);
    assert_eq!(harness.lines("runs"), ["ran"]);
    assert_eq!(harness.shown(&session), whole);
    assert_eq!(harness.results(&turn)[0], ("error", format!("{whole}[exit status 7]")));
    let names = harness.event_names(&session);
    let count = |name: &str| names.iter().filter(|said| *said == name).count();
    assert_eq!((count("tool.started"), count("tool.completed")), (1, 1), "{names:?}");
}

/// What is shown is bounded, and the note comes once; the result has head and tail of the whole.
#[test]
fn a_long_output_is_the_same_as_if_nothing_had_happened() {
    let harness = Harness::with(|config| config.tools.max_output_bytes = 1024);
    let (session, turn) = harness
        .runbook("$ seq 1000; touch long; until [ -e go ]; do sleep 0.01; done; seq 1001 2000\n");
    let first = harness.worker(1, None);
    first.agents.wake();
    harness.until("note", || harness.shown(&session), |shown| shown.contains("it goes on"));
    drop(first);
    let _second = harness.worker(2, Some(1));
    harness.said(&session, "turn.resumed");
    std::fs::write(harness.workplace("go"), "").unwrap();
    assert_eq!(harness.ended(&turn).state, TurnState::Completed);
    let whole: String = (1..=2000).map(|i| format!("{i}\n")).collect();
    let (outcome, content) = &harness.results(&turn)[0];
    let left_out = format!("\n[... {} bytes left out ...]\n", whole.len() - 1024);
    let left_out = left_out.replace("7869", "7,869");
    assert_eq!(*outcome, "ok");
    assert_eq!(*content, whole[..512].to_owned() + &left_out + &whole[whole.len() - 512..]);
    let note = "\n[... it goes on; the end is in the result ...]\n";
    assert_eq!(harness.shown(&session), whole[..1024].to_owned() + note);
}

#[test]
fn a_change_of_which_nothing_is_known_is_told_and_not_run_again() {
    let harness = Harness::open();
    let (session, turn) = harness.runbook("$ echo ran >> runs\n");
    die_before(&harness, call("bash", r#"{"command":"echo ran >> runs"}"#));

    let _worker = harness.worker(2, Some(1));
    assert_eq!(harness.ended(&turn).state, TurnState::Completed);
    let (outcome, content) = &harness.results(&turn)[0];
    assert_eq!(*outcome, "unknown");
    assert!(content.contains("there is no record of it on its machine"), "{content}");
    assert!(content.contains("It was not run again. It may have taken effect"), "{content}");
    assert_eq!(harness.lines("runs"), [""; 0]);
    let names = harness.event_names(&session);
    assert_eq!(names[..2], ["message.created", "turn.started"]);
    assert!(names.contains(&"turn.resumed".to_owned()), "{names:?}");
}

#[test]
fn a_change_is_run_again_where_the_operator_says_so_and_not_silently() {
    let harness =
        Harness::with(|config| _ = config.tools.on_lost.insert("bash".to_owned(), Lost::Retry));
    let (session, turn) = harness.runbook("$ echo ran >> runs\n");
    die_before(&harness, call("bash", r#"{"command":"echo ran | tee -a runs"}"#));
    let _worker = harness.worker(2, Some(1));
    assert_eq!(harness.ended(&turn).state, TurnState::Completed);
    assert_eq!(harness.lines("runs"), ["ran"]);
    let (outcome, content) = &harness.results(&turn)[0];
    assert_eq!(*outcome, "ok");
    let told = "ran\n[this call ran a second time, as tools.on_lost.bash says. Of the first time";
    assert!(content.starts_with(told) && content.contains("no record of it"), "{content}");
    let names = harness.event_names(&session);
    assert_eq!(names.iter().filter(|name| *name == "tool.started").count(), 2);
}

#[test]
fn a_lost_change_fails_the_turn_where_the_operator_says_so() {
    let harness =
        Harness::with(|config| _ = config.tools.on_lost.insert("bash".to_owned(), Lost::Fail));
    let (_, turn) = harness.runbook("$ echo ran >> runs\n$ echo next >> runs\n");
    die_before(&harness, call("bash", r#"{"command":"echo ran >> runs"}"#));
    let _worker = harness.worker(2, Some(1));
    let ended = harness.ended(&turn);
    assert_eq!(
        (ended.state, ended.error.unwrap().code),
        (TurnState::Failed, TurnErrorCode::OutcomeUnknown)
    );
    assert_eq!((harness.results(&turn)[0].0, harness.lines("runs").len()), ("unknown", 0));
}

/// A file is written whole or not at all: what is there says whether it was.
#[test]
fn a_write_that_was_cut_is_looked_for() {
    let harness = Harness::open();
    std::fs::create_dir_all(&harness.config.workplace.root).unwrap();
    std::fs::write(harness.workplace("there.txt"), "whole").unwrap();
    std::fs::write(harness.workplace("other.txt"), "else").unwrap();
    let after = |name: &str, arguments: &str| {
        let (_, turn) = harness.runbook("$ true\n");
        die_before(&harness, call(name, arguments));
        let worker = harness.worker(2, Some(1));
        assert_eq!(harness.ended(&turn).state, TurnState::Completed);
        drop(worker);
        harness.results(&turn).remove(0)
    };
    let there = after("write_file", r#"{"path":"there.txt","content":"whole"}"#);
    assert_eq!(there, ("ok", "wrote 5 bytes to there.txt".to_owned()));
    let (outcome, content) = after("write_file", r#"{"path":"other.txt","content":"whole"}"#);
    assert_eq!(outcome, "unknown");
    assert!(content.contains("other.txt has other content now"), "{content}");
    let (outcome, content) = after("edit_file", r#"{"path":"other.txt","old":"e","new":"x"}"#);
    assert_eq!(outcome, "unknown");
    assert!(content.contains("old occurs 2 times in other.txt now, and new 0 times"), "{content}");
    assert_eq!(harness.lines("other.txt"), ["else"]);
}

#[test]
fn a_turn_that_costs_one_worker_after_the_other_fails() {
    let harness = Harness::with(|config| config.agents.max_takeovers = 2);
    let (session, turn) = harness.runbook("$ echo ran >> runs; echo $$ > own; sleep 1000\n");
    let mut own = 0;
    for generation in 1..=2 {
        let worker = harness.worker(generation, generation.checked_sub(1));
        worker.agents.wake();
        own = harness.pid("own");
        harness.until("claim", || harness.turn(&turn).owner, |&owner| owner == Some(generation));
        drop(worker);
    }
    let last = harness.worker(3, Some(2));
    let ended = harness.ended(&turn);
    let error = ended.error.expect("a failed turn has an error");
    assert_eq!((ended.state, error.code), (TurnState::Failed, TurnErrorCode::TooManyTakeovers));
    assert!(error.message.starts_with("2 workers in a row died while they had this turn"));
    harness.dead(own);
    let (outcome, content) = &harness.results(&turn)[0];
    assert_eq!(*outcome, "unknown");
    assert!(content.contains("because 2 workers in a row died"), "{content}");
    assert_eq!(harness.lines("runs"), ["ran"]);
    let next = harness.post(&session, "$ echo next\n");
    last.agents.wake();
    assert_eq!(harness.ended(&next).state, TurnState::Completed, "the session goes on");
}

/// Neither hand-overs, nor deaths between which a step is committed, are too many.
#[test]
fn workers_that_come_and_go_fail_no_turn() {
    let harness = Harness::with(|config| config.agents.max_takeovers = 2);
    let wait =
        |name: &str| format!("$ touch {name}; until [ -e go-{name} ]; do sleep 0.01; done\n");
    let (_, turn) = harness.runbook(&(wait("a") + &wait("b") + &wait("c")));
    let mut generation = 0;
    for step in ["a", "b", "c"] {
        let mut worker = None;
        // One worker dies in each step; the others hand over.
        for drains in [true, false, true, true] {
            generation += 1;
            drop(worker.take());
            let next = harness.worker(generation, Some(generation - 1));
            next.agents.wake();
            let owned = |owner: &Option<u64>| *owner == Some(generation);
            harness.until("claim", || harness.turn(&turn).owner, owned);
            harness.until("start", || harness.workplace(step).exists(), |&exists| exists);
            if drains {
                assert_eq!(next.drain(Duration::from_secs(20)), (1, 0));
            }
            worker = Some(next);
        }
        drop(worker);
        let steps = harness.turn(&turn).steps;
        std::fs::write(harness.workplace(&format!("go-{step}")), "").unwrap();
        generation += 1;
        let next = harness.worker(generation, Some(generation - 1));
        harness.until("step", || harness.turn(&turn).steps, |&now| now > steps);
        // One that died now might leave a call that was never begun.
        next.drain(Duration::from_secs(20));
    }
    let _last = harness.worker(generation + 1, Some(generation));
    assert_eq!(harness.ended(&turn).state, TurnState::Completed);
}

#[test]
fn a_read_that_was_cut_is_run_again() {
    let harness = Harness::open();
    let session = harness.session("runbook", None);
    let turn = harness.post(&session, "read notes.txt\n");
    die_before(&harness, call("read_file", r#"{"path":"notes.txt"}"#));
    std::fs::create_dir_all(harness.config.workplace.root.clone()).unwrap();
    std::fs::write(harness.workplace("notes.txt"), "it is all there\n").unwrap();

    let _worker = harness.worker(2, Some(1));
    assert_eq!(harness.ended(&turn).state, TurnState::Completed);
    let results = harness.results(&turn);
    assert_eq!((results.len(), results[0].0), (1, "ok"));
    assert!(results[0].1.contains("it is all there"), "{results:?}");
    let names = harness.event_names(&session);
    assert_eq!(names.iter().filter(|name| *name == "tool.started").count(), 2);
}

#[test]
fn text_of_a_dead_worker_is_retracted() {
    let harness = Harness::open();
    let (session, turn) = harness.runbook("$ echo one\n");
    harness.as_another(1, |writer, lease| {
        writer.append(lease, vec![EventKind::TextDelta { text: "half a wo".to_owned() }])
    });
    let _worker = harness.worker(2, Some(1));
    assert_eq!(harness.ended(&turn).state, TurnState::Completed);
    let events = harness.events(&session);
    let retracted = events.iter().position(|event| event.name == "text.retracted").unwrap();
    assert_eq!(events[retracted - 1].name, "turn.resumed");
    assert!(events[retracted].data.contains("the worker of generation 1 stopped"));
    assert_eq!(events.iter().filter(|event| event.name == "text.retracted").count(), 1);
}

#[test]
fn a_cancel_of_what_a_dead_worker_left_kills_it() {
    let harness = Harness::open();
    let (_, turn) = harness.runbook("$ echo $$ > own; sleep 1000\n");
    let first = harness.worker(1, None);
    first.agents.wake();
    let own = harness.pid("own");
    drop(first);
    let asked = turn.clone();
    harness.write(move |writer| writer.request_cancel(&asked));
    let _worker = harness.worker(2, Some(1));
    assert_eq!(harness.ended(&turn).state, TurnState::Cancelled);
    harness.dead(own);
    assert_eq!(harness.results(&turn)[0].0, "cancelled");
}

#[test]
fn a_living_rival_keeps_its_turns_until_its_lock_is_free() {
    let harness = Harness::open();
    let rival = harness.lock(1);
    let (_, turn) = harness.runbook("$ echo one\n");
    harness.as_another(1, |_, _| Ok(()));

    let worker = harness.worker(2, Some(1));
    // Who says that it is dead does not make it so.
    worker.agents.predecessor_gone(1);
    let (session, other) = harness.runbook("$ echo two\n");
    worker.agents.wake();
    assert_eq!(harness.ended(&other).state, TurnState::Completed);
    harness.pause(Duration::from_millis(200));
    assert_eq!(harness.turn(&turn).owner, Some(1));
    assert_eq!(harness.event_names(&session).last().unwrap(), "turn.completed");

    drop(rival);
    assert_eq!(harness.ended(&turn).state, TurnState::Completed);
    assert!(!harness.locks().join("1.lock").exists(), "what it left is swept");
}

#[test]
fn a_rival_that_nobody_named_is_found() {
    let harness = Harness::open();
    let rival = harness.lock(1);
    let worker = harness.worker(2, None);
    let (_, turn) = harness.runbook("$ echo one\n");
    worker.agents.wake();
    harness.ended(&turn);
    // It claims a turn now, as one whose supervisor died may still do, and dies.
    let session = harness.session("runbook", None);
    let turn = harness.post_to_another(1, &session, "$ echo two\n");
    drop(rival);
    assert_eq!(harness.ended(&turn).state, TurnState::Completed);
}

#[test]
fn a_turn_of_another_worker_is_left_alone() {
    let harness = Harness::open();
    let worker = harness.worker(1, None);
    let (session, turn) = harness.runbook("$ echo $$ > own; sleep 1000\n$ echo two\n");
    worker.agents.wake();
    let own = harness.pid("own");
    harness.write(|writer| writer.take_over(1));
    harness.as_another(9, |_, _| Ok(()));
    let before = harness.event_names(&session);
    let process = rustix::process::Pid::from_raw(own.cast_signed()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    harness.until("empty running_turns", || worker.agents.running(), |&running| running == 0);
    assert_eq!(harness.event_names(&session), before);
    assert_eq!(harness.turn(&turn).owner, Some(9));
    worker.runtime.block_on(worker.agents.ping());
}
