//! Turns that run for too long, or whose session is larger than what may be sent.

use std::time::{Duration, Instant};

use super::harness::{ENDLESS, Endpoint, Harness, model_at};
use evonic_domain::{CompactionKind, Outcome, ToolCall, TurnEnd, TurnErrorCode, TurnState};
use evonic_store::NewReply;

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

/// What outgrew the bound while its worker was away is loaded as far as there is room, and the turn
/// goes on.
#[test]
fn a_transcript_that_is_too_large_is_loaded_in_part() {
    let harness = Harness::with(|config| config.agents.max_transcript_bytes = 65_536);
    let session = harness.session("runbook", None);
    for _ in 0..5 {
        let turn = harness.post(&session, "$ echo one\n");
        harness.as_another(1, |writer, lease| {
            let call = call("step-1");
            let reply = NewReply { tool_calls: vec![call.clone()], ..NewReply::default() };
            writer.record_reply(lease, reply)?;
            writer.finish_call(lease, &call, Outcome::Ok, "x".repeat(70_000))?;
            let reply = NewReply { text: "done".to_owned(), ..NewReply::default() };
            writer.record_reply(lease, reply)?;
            writer.end_turn(lease, TurnEnd::Completed { text: "done".to_owned() })
        });
        assert!(harness.turn(&turn).state.is_ended());
    }
    let worker = harness.worker(2, Some(1));
    let next = harness.post(&session, "$ echo two\n");
    worker.agents.wake();
    assert_eq!(harness.ended(&next).state, TurnState::Completed);
    let kinds: Vec<_> =
        harness.compactions(&session).into_iter().map(|compaction| compaction.kind).collect();
    assert_eq!(kinds, [CompactionKind::Shortened]);
    let stored = harness.results(&next);
    assert!(stored.iter().any(|(_, content)| content.len() == 70_000), "originals stay");
}

fn call(id: &str) -> ToolCall {
    let arguments = r#"{"command":"echo one"}"#.to_owned();
    ToolCall { id: id.to_owned(), name: "bash".to_owned(), arguments }
}

/// A turn that outgrows the bound by its own results goes on with their heads and tails.
#[test]
fn a_transcript_that_grows_too_large_is_shortened() {
    let harness = Harness::with(|config| config.agents.max_transcript_bytes = 100_000);
    let worker = harness.worker(1, None);
    let (session, turn) = harness.runbook(&"$ head -c 40000 /dev/zero | tr '\\0' x\n".repeat(6));
    worker.agents.wake();
    assert_eq!(harness.ended(&turn).state, TurnState::Completed);
    assert_eq!(harness.results(&turn).len(), 6);
    let compactions = harness.compactions(&session);
    assert!(!compactions.is_empty());
    for compaction in compactions {
        assert_eq!(compaction.kind, CompactionKind::Shortened);
        assert!(compaction.tokens_after < compaction.tokens_before, "{compaction:?}");
    }
    harness.said(&session, "context.compacted");
}

/// A runbook knows by its steps how far it has come: none of them is dropped, and a message alone
/// that is too large says so.
#[test]
fn what_cannot_fit_says_what_is_too_large() {
    let harness = Harness::with(|config| config.agents.max_transcript_bytes = 65_536);
    let worker = harness.worker(1, None);
    let (session, turn) = harness.runbook(&format!("{}\n", "x".repeat(70_000)));
    worker.agents.wake();
    let error = harness.ended(&turn).error.expect("a failed turn has an error");
    assert_eq!(error.code, TurnErrorCode::ContextTooLarge);
    let told = "the last message is too large: about 2";
    assert!(error.message.starts_with(told), "{}", error.message);
    let hint = "agents.max_transcript_bytes is 65536";
    assert!(error.message.contains(hint), "{}", error.message);
    let next = harness.post(&session, "$ echo two\n");
    worker.agents.wake();
    assert_eq!(harness.ended(&next).state, TurnState::Completed, "the session lives");
}
