//! Turns that run for too long, or whose transcript is too large.

use std::time::{Duration, Instant};

use super::harness::{ENDLESS, Endpoint, Harness, model_at};
use evonic_domain::{Outcome, ToolCall, TurnErrorCode, TurnState};
use evonic_store::NewReply;
use evonic_store::PendingCall;

fn with_timeout(timeout: Duration) -> Harness {
    Harness::with(|config| config.agents.turn_timeout = timeout)
}

#[test]
fn a_turn_out_of_time_has_its_command_killed() {
    let harness = with_timeout(Duration::from_secs(1));
    let worker = harness.worker(1, None);
    let (session, turn) = harness.runbook(
        "$ setsid sh -c 'echo $$ > child; sleep 1000' & echo $$ > own; echo early; wait\n$ echo next\n",
    );
    let begun = Instant::now();
    worker.agents.wake();
    let (own, child) = (harness.pid("own"), harness.pid("child"));
    let ended = harness.ended(&turn);
    let error = ended.error.expect("a failed turn has an error");
    assert_eq!((ended.state, error.code), (TurnState::Failed, TurnErrorCode::TurnTimeout));
    assert_eq!(error.message, "it ran for 1 s (agents.turn_timeout)");
    assert!(begun.elapsed() < Duration::from_secs(5), "took {:?}", begun.elapsed());
    harness.dead(own);
    harness.dead(child);
    let (outcome, content) = &harness.results(&turn)[0];
    assert_eq!(*outcome, "cancelled");
    assert!(content.contains("early"), "{content}");
    assert_eq!(harness.event_names(&session).last().unwrap(), "turn.failed");
    let next = harness.post(&session, "$ echo again\n");
    worker.agents.wake();
    assert_eq!(harness.ended(&next).state, TurnState::Completed);
}

#[test]
fn a_turn_out_of_time_has_its_model_call_dropped() {
    let endless = Endpoint::start(ENDLESS);
    let harness = Harness::with(|config| {
        config.models.insert("endless".to_owned(), model_at(endless.address));
        config.agents.turn_timeout = Duration::from_secs(1);
    });
    let worker = harness.worker(1, None);
    let turn = harness.post(&harness.session("endless", None), "think");
    worker.agents.wake();
    assert_eq!(harness.ended(&turn).error.unwrap().code, TurnErrorCode::TurnTimeout);
}

/// What earlier workers took of the time is not given again, whether they died or handed over.
#[test]
fn the_time_of_a_turn_counts_over_its_workers() {
    let harness = with_timeout(Duration::from_secs(2));
    let (_, turn) = harness.runbook("$ echo $$ > own; sleep 1000\n");
    let begun = Instant::now();
    let mut own = 0;
    for (generation, drains) in [(1, true), (2, false), (3, true), (4, false)] {
        let worker = harness.worker(generation, generation.checked_sub(1));
        worker.agents.wake();
        own = harness.pid("own");
        harness.until("claim", || harness.turn(&turn).owner, |&owner| owner == Some(generation));
        harness.pause(Duration::from_millis(300));
        if drains {
            worker.drain(Duration::from_secs(20));
        }
    }
    let _last = harness.worker(5, Some(4));
    assert_eq!(harness.ended(&turn).error.unwrap().code, TurnErrorCode::TurnTimeout);
    assert!(begun.elapsed() < Duration::from_secs(6), "took {:?}", begun.elapsed());
    harness.dead(own);
    assert_eq!(harness.results(&turn)[0].0, "cancelled");
}

/// What outgrew the bound while its worker was away: its command is killed, and told of.
#[test]
fn a_transcript_that_is_too_large_is_not_loaded() {
    let harness = Harness::with(|config| config.agents.max_transcript_bytes = 65_536);
    let (session, turn) = harness.runbook("$ echo one\n");
    harness.as_another(1, |writer, lease| {
        let call = |id: &str| {
            let (id, name, arguments) = (id.to_owned(), "bash".to_owned(), "{}".to_owned());
            ToolCall { id, name, arguments }
        };
        let calls = vec![call("a"), call("b")];
        writer.record_reply(
            lease,
            NewReply { text: String::new(), tool_calls: calls, ..NewReply::default() },
        )?;
        writer.finish_call(lease, &call("a"), Outcome::Ok, "x".repeat(70_000))?;
        writer.start_call(lease, &PendingCall::new(call("b"), "command", "local"))
    });
    let worker = harness.worker(2, Some(1));
    let ended = harness.ended(&turn);
    let error = ended.error.expect("a failed turn has an error");
    assert_eq!((ended.state, error.code), (TurnState::Failed, TurnErrorCode::TranscriptTooLarge));
    let told = "the transcript of the session has 70";
    assert!(error.message.starts_with(told) && error.message.contains("may have 65536"));
    assert_eq!(harness.results(&turn)[1].0, "unknown");
    // The next one is no better off, and another session is.
    let next = harness.post(&session, "$ echo two\n");
    let (_, elsewhere) = harness.runbook("$ echo three\n");
    worker.agents.wake();
    assert_eq!(harness.ended(&next).error.unwrap().code, TurnErrorCode::TranscriptTooLarge);
    assert_eq!(harness.ended(&elsewhere).state, TurnState::Completed);
}

/// A turn that outgrows the bound by its own results ends at the next step.
#[test]
fn a_transcript_that_grows_too_large_ends_its_turn() {
    let harness = Harness::with(|config| config.agents.max_transcript_bytes = 100_000);
    let worker = harness.worker(1, None);
    let (_, turn) = harness.runbook(&"$ head -c 40000 /dev/zero | tr '\\0' x\n".repeat(6));
    worker.agents.wake();
    assert_eq!(harness.ended(&turn).error.unwrap().code, TurnErrorCode::TranscriptTooLarge);
    assert_eq!(harness.results(&turn).len(), 3);
}
