//! Turns of workers that are dead, living rivals, fences.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::shop::Shop;
use crate::{
    agent::Generation,
    domain::{EventKind, ToolCall, TurnState, Usage},
};

fn call(name: &str, arguments: &str) -> ToolCall {
    ToolCall { id: "step-1".to_owned(), name: name.to_owned(), arguments: arguments.to_owned() }
}

/// A mark that no process of another run carries.
fn mark() -> String {
    format!("test_{}", uuid::Uuid::now_v7().simple())
}

/// Leaves a turn as a worker that died while it ran this call.
fn die_in(shop: &Shop, call: ToolCall, mark: &str) {
    let mark = mark.to_owned();
    shop.as_another(1, move |writer, lease| {
        writer.record_reply(lease, String::new(), vec![call.clone()], Usage::default())?;
        writer.start_call(lease, &call, &mark)
    });
}

/// A process that a dead worker left behind.
struct Remnant(Child);

impl Remnant {
    #[expect(clippy::disallowed_methods, reason = "stands for what a dead worker left")]
    fn start(mark: &str) -> Self {
        let mut command = Command::new("sleep");
        command.arg("1000").env("EVONIC_CALL", mark).stdin(Stdio::null());
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn was_killed(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some_and(|status| !status.success())
    }
}

impl Drop for Remnant {
    fn drop(&mut self) {
        // It is dead already unless the test failed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_change_that_was_cut_is_killed_told_and_not_run_again() {
    let shop = Shop::open();
    let (session, turn) = shop.runbook("$ echo ran >> runs\n");
    let mark = &mark();
    die_in(&shop, call("bash", r#"{"command":"echo ran >> runs"}"#), mark);
    let mut left = Remnant::start(mark);

    let _worker = shop.worker(2, Some(1));
    assert_eq!(shop.ended(&turn).state, TurnState::Completed);
    let (outcome, content) = &shop.results(&turn)[0];
    assert_eq!(*outcome, "unknown");
    assert!(content.contains("not run again. One process of it was still running"), "{content}");
    assert!(left.was_killed(), "it was not killed");
    assert_eq!(shop.lines("runs"), [""; 0]);
    let names = shop.event_names(&session);
    assert_eq!(names[..2], ["message.created", "turn.started"]);
    assert!(names.contains(&"turn.resumed".to_owned()), "{names:?}");
}

#[test]
fn a_read_that_was_cut_is_run_again() {
    let shop = Shop::open();
    let session = shop.session("runbook", None);
    let turn = shop.post(&session, "read notes.txt\n");
    die_in(&shop, call("read_file", r#"{"path":"notes.txt"}"#), "mark");
    std::fs::create_dir_all(shop.config.workplace.root.clone()).unwrap();
    std::fs::write(shop.workplace("notes.txt"), "it is all there\n").unwrap();

    let _worker = shop.worker(2, Some(1));
    assert_eq!(shop.ended(&turn).state, TurnState::Completed);
    let results = shop.results(&turn);
    assert_eq!((results.len(), results[0].0), (1, "ok"));
    assert!(results[0].1.contains("it is all there"), "{results:?}");
    let names = shop.event_names(&session);
    assert_eq!(names.iter().filter(|name| *name == "tool.started").count(), 2);
}

#[test]
fn text_of_a_dead_worker_is_retracted() {
    let shop = Shop::open();
    let (session, turn) = shop.runbook("$ echo one\n");
    shop.as_another(1, |writer, lease| {
        writer.append(lease, vec![EventKind::TextDelta { text: "half a wo".to_owned() }])
    });
    let _worker = shop.worker(2, Some(1));
    assert_eq!(shop.ended(&turn).state, TurnState::Completed);
    let events = shop.events(&session);
    let retracted = events.iter().position(|event| event.name == "text.retracted").unwrap();
    assert_eq!(events[retracted - 1].name, "turn.resumed");
    assert!(events[retracted].data.contains("the worker of generation 1 stopped"));
    assert_eq!(events.iter().filter(|event| event.name == "text.retracted").count(), 1);
}

#[test]
fn a_cancel_of_what_a_dead_worker_left_kills_it_too() {
    let shop = Shop::open();
    let (_, turn) = shop.runbook("$ sleep 1000\n");
    let mark = &mark();
    die_in(&shop, call("bash", r#"{"command":"sleep 1000"}"#), mark);
    shop.write(|writer| writer.take_over(1));
    let asked = turn.clone();
    shop.write(move |writer| writer.request_cancel(&asked));
    let mut left = Remnant::start(mark);

    let _worker = shop.worker(2, None);
    assert_eq!(shop.ended(&turn).state, TurnState::Cancelled);
    assert!(left.was_killed(), "it was not killed");
    assert_eq!(shop.results(&turn)[0].0, "unknown");
}

#[test]
fn a_living_rival_keeps_its_turns_until_its_lock_is_free() {
    let shop = Shop::open();
    let rival = Generation::lock(&shop.locks(), 1).unwrap();
    let (_, turn) = shop.runbook("$ echo one\n");
    shop.as_another(1, |_, _| Ok(()));

    let worker = shop.worker(2, Some(1));
    // Who says that it is dead does not make it so.
    worker.agents.predecessor_gone(1);
    let (session, other) = shop.runbook("$ echo two\n");
    worker.agents.wake();
    assert_eq!(shop.ended(&other).state, TurnState::Completed);
    shop.pause(Duration::from_millis(200));
    assert_eq!(shop.turn(&turn).owner, Some(1));
    assert_eq!(shop.event_names(&session).last().unwrap(), "turn.completed");

    drop(rival);
    assert_eq!(shop.ended(&turn).state, TurnState::Completed);
    assert!(!shop.locks().join("1.lock").exists(), "what it left is swept");
}

#[test]
fn a_rival_that_nobody_named_is_found() {
    let shop = Shop::open();
    let rival = Generation::lock(&shop.locks(), 1).unwrap();
    let worker = shop.worker(2, None);
    let (_, turn) = shop.runbook("$ echo one\n");
    worker.agents.wake();
    shop.ended(&turn);
    // It claims a turn now, as one whose supervisor died may still do, and dies.
    let (_, turn) = shop.runbook("$ echo two\n");
    shop.as_another(1, |_, _| Ok(()));
    drop(rival);
    assert_eq!(shop.ended(&turn).state, TurnState::Completed);
}

#[test]
fn a_turn_that_is_anothers_is_let_go_without_a_word() {
    let shop = Shop::open();
    let worker = shop.worker(1, None);
    let (session, turn) = shop.runbook("$ echo $$ > own; sleep 1000\n$ echo two\n");
    worker.agents.wake();
    let own = shop.pid("own");
    shop.write(|writer| writer.take_over(1));
    shop.as_another(9, |_, _| Ok(()));
    let before = shop.event_names(&session);
    let process = rustix::process::Pid::from_raw(own.cast_signed()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    shop.until("empty roster", || worker.agents.running(), |&running| running == 0);
    assert_eq!(shop.event_names(&session), before);
    assert_eq!(shop.turn(&turn).owner, Some(9));
    worker.runtime.block_on(worker.agents.ping());
}
