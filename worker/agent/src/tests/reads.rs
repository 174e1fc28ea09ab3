//! Calls that only read, side by side.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use serde_json::{Value, json};

use super::harness::Harness;
use evonic_domain::{Outcome, ToolCall, TurnState};
use evonic_store::{NewReply, PendingCall};
use evonic_tools::{
    Answer, ArgumentError, Call, Effect, Ending, Registry, Tool, ToolResult, ToolSpec,
};

/// Reads nothing, and takes its time for it.
#[derive(Debug)]
struct Wait;

#[async_trait]
impl Tool for Wait {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "wait".to_owned(),
            description: "Waits.".to_owned(),
            schema: json!({"type": "object", "properties": {"ms": {"type": "integer"}}}),
            effect: Effect::Read,
            ending: Ending::WithWorker,
        }
    }

    async fn run(&self, mut call: Call<'_>) -> Result<Answer, ArgumentError> {
        let arguments: Value = call.arguments()?;
        let ms = arguments["ms"].as_u64().unwrap_or_default();
        Ok(call
            .within(Duration::from_secs(60), async {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                Ok(ToolResult::ok(format!("waited {ms} ms")))
            })
            .await)
    }
}

fn harness() -> Harness {
    let with = |registry: Registry| registry.with(Arc::new(Wait)).expect("a new name");
    let mut harness = Harness::open();
    harness.registry = with;
    harness
}

fn wait(id: &str, ms: u64) -> ToolCall {
    ToolCall {
        id: id.to_owned(),
        name: "wait".to_owned(),
        arguments: json!({"ms": ms}).to_string(),
    }
}

/// A turn whose worker of generation 1 died right after a reply that asks for these calls.
fn replied(
    harness: &Harness,
    calls: &[ToolCall],
) -> (evonic_domain::SessionId, evonic_domain::TurnId) {
    let (session, turn) = harness.runbook("$ true\n");
    let calls = calls.to_vec();
    harness.as_another(1, move |writer, lease| {
        let reply = NewReply { tool_calls: calls, ..NewReply::default() };
        writer.record_reply(lease, reply)
    });
    (session, turn)
}

/// Names of the calls' events, in order, with the call's identifier.
fn said(harness: &Harness, session: &evonic_domain::SessionId) -> Vec<String> {
    let of_call = |event: evonic_domain::Event| {
        let data: Value = serde_json::from_str(&event.data).expect("an event is JSON");
        let name = event.name.strip_prefix("tool.")?.to_owned();
        (name != "output").then(|| format!("{name} {}", data["call_id"].as_str().unwrap_or("?")))
    };
    harness.events(session).into_iter().filter_map(of_call).collect()
}

#[test]
fn they_run_at_once_and_their_results_are_in_order() {
    let harness = harness();
    let times = [700, 100, 400, 100, 700, 100, 400, 100];
    let calls: Vec<_> =
        times.iter().enumerate().map(|(at, &ms)| wait(&format!("c{at}"), ms)).collect();
    let (session, turn) = replied(&harness, &calls);
    let begun = Instant::now();
    let _worker = harness.worker(2, Some(1));
    assert_eq!(harness.ended(&turn).state, TurnState::Completed);
    let took = begun.elapsed();
    let results = harness.results(&turn);
    let expected: Vec<_> = times.iter().map(|ms| ("ok", format!("waited {ms} ms"))).collect();
    assert_eq!(results[..8], expected);
    let started = (0..8).map(|at| format!("started c{at}"));
    let completed = (0..8).map(|at| format!("completed c{at}"));
    assert_eq!(said(&harness, &session)[..16], started.chain(completed).collect::<Vec<_>>());
    let sum = Duration::from_millis(times.iter().sum());
    println!("{took:?} for what takes {sum:?} one after the other");
    assert!(took < sum * 2 / 3, "{took:?} of {sum:?}");
}

#[test]
fn a_change_waits_for_the_reads_before_it_and_those_after_it_for_the_change() {
    let harness = harness();
    let change = ToolCall {
        id: "change".to_owned(),
        name: "bash".to_owned(),
        arguments: json!({"command": "echo changed"}).to_string(),
    };
    let twice = wait("b", 1);
    let calls = [wait("a", 50), twice.clone(), change, wait("c", 20), twice.clone(), twice];
    let (session, turn) = replied(&harness, &calls);
    let _worker = harness.worker(2, Some(1));
    assert_eq!(harness.ended(&turn).state, TurnState::Completed);
    let expected = [
        "started a",
        "started b",
        "completed a",
        "completed b",
        "started change",
        "completed change",
        "started c",
        "started b",
        "completed c",
        "completed b",
        "started b",
        "completed b",
    ];
    assert_eq!(said(&harness, &session)[..12], expected);
}

#[test]
fn what_a_dead_worker_had_started_is_run_again_in_order() {
    let harness = harness();
    let (session, turn) = harness.runbook("$ true\n");
    let calls: Vec<_> = ["z", "m", "a", "k"].map(|id| wait(id, 5)).to_vec();
    harness.as_another(1, move |writer, lease| {
        let reply = NewReply { tool_calls: calls.clone(), ..NewReply::default() };
        writer.record_reply(lease, reply)?;
        for call in &calls {
            let command_id = format!("test_{}", uuid::Uuid::now_v7().simple());
            writer.start_call(lease, &PendingCall::new(call.clone(), &command_id, "local"))?;
        }
        writer.finish_call(lease, &calls[0], Outcome::Ok, "of before".to_owned())
    });
    let _worker = harness.worker(2, Some(1));
    assert_eq!(harness.ended(&turn).state, TurnState::Completed);
    let results = harness.results(&turn);
    let waited = || ("ok", "waited 5 ms".to_owned());
    assert_eq!(results[..4], [("ok", "of before".to_owned()), waited(), waited(), waited()]);
    let completed: Vec<_> = said(&harness, &session)
        .into_iter()
        .filter_map(|said| said.strip_prefix("completed ").map(str::to_owned))
        .take(4)
        .collect();
    assert_eq!(completed, ["z", "m", "a", "k"]);
}

#[test]
fn a_cancel_gives_each_a_result() {
    let harness = harness();
    let calls = [wait("a", 1), wait("b", 60_000), wait("c", 60_000), wait("d", 1)];
    let (session, turn) = replied(&harness, &calls);
    let worker = harness.worker(2, Some(1));
    harness.said(&session, "tool.completed");
    let asked = turn.clone();
    harness.write(move |writer| writer.request_cancel(&asked));
    worker.agents.cancel(&turn);
    assert_eq!(harness.ended(&turn).state, TurnState::Cancelled);
    let outcomes: Vec<_> = harness.results(&turn).into_iter().map(|(outcome, _)| outcome).collect();
    assert_eq!(outcomes[..3], ["ok", "cancelled", "cancelled"]);
    assert_eq!(outcomes.len(), 4);
}

#[test]
fn a_drain_hands_them_over_and_the_successor_runs_them() {
    let harness = harness();
    let calls = [wait("a", 1), wait("b", 3_000), wait("c", 1)];
    let (session, turn) = replied(&harness, &calls);
    let first = harness.worker(2, Some(1));
    harness.said(&session, "tool.completed");
    assert_eq!(first.drain(Duration::from_millis(700)), (1, 0));
    drop(first);
    assert_eq!(harness.results(&turn).len(), 1);
    let _second = harness.worker(3, Some(2));
    assert_eq!(harness.ended(&turn).state, TurnState::Completed);
    let waited = |ms: u32| ("ok", format!("waited {ms} ms"));
    assert_eq!(harness.results(&turn)[..3], [waited(1), waited(3_000), waited(1)]);
}

#[test]
fn a_tool_that_there_is_not_is_started_and_completed() {
    let harness = harness();
    let unknown = ToolCall { name: "nothing".to_owned(), ..wait("u", 1) };
    let (session, turn) = replied(&harness, &[unknown, wait("a", 1)]);
    let _worker = harness.worker(2, Some(1));
    assert_eq!(harness.ended(&turn).state, TurnState::Completed);
    assert!(harness.results(&turn)[0].1.starts_with("There is no tool nothing."));
    let expected = ["started u", "completed u", "started a", "completed a"];
    assert_eq!(said(&harness, &session)[..4], expected);
}

/// Calls that run at this moment, and the most that ever did.
static RUNNING: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

/// As [`Wait`], and counts how many of it run.
#[derive(Debug)]
struct Counted;

#[async_trait]
impl Tool for Counted {
    fn spec(&self) -> ToolSpec {
        Wait.spec()
    }

    async fn run(&self, call: Call<'_>) -> Result<Answer, ArgumentError> {
        MOST.fetch_max(RUNNING.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let answer = Wait.run(call).await;
        RUNNING.fetch_sub(1, Ordering::SeqCst);
        answer
    }
}

/// Whatever turns ask for at once, handles are left for what runs alone.
#[test]
fn many_turns_share_what_runs_beside_the_first_call_of_each() {
    let mut harness = Harness::with(|config| config.budget.file = 12);
    harness.registry = |registry| registry.with(Arc::new(Counted)).expect("a new name");
    let workers = harness.config.agents.workers as usize;
    let turns: Vec<_> = (0..workers)
        .map(|_| {
            let calls: Vec<_> = (0..8).map(|at| wait(&format!("c{at}"), 100)).collect();
            replied(&harness, &calls).1
        })
        .collect();
    let _worker = harness.worker(2, Some(1));
    for turn in turns {
        assert_eq!(harness.ended(&turn).state, TurnState::Completed);
        let results = harness.results(&turn);
        assert!(results[..8].iter().all(|(outcome, _)| *outcome == "ok"), "{results:?}");
    }
    let (most, bound) = (MOST.load(Ordering::SeqCst), workers + 3);
    println!("{most} at once, of {bound}");
    assert!(most > 1 && most <= bound, "{most} at once, of {bound}");
}
