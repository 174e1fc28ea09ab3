//! Cancelling turns, draining workers.

use std::time::{Duration, Instant};

use super::{
    harness::{ENDLESS, Endpoint, Harness, Worker, model_at},
    takeover::call,
};
use evonic_domain::{SessionId, TurnId, TurnState};
use evonic_store::{NewReply, PendingCall};

/// A turn whose command left its process group and waits for ever.
fn endless_command(harness: &Harness) -> (SessionId, TurnId) {
    harness.runbook(
        "$ echo ran >> runs; setsid sh -c 'echo $$ > child; sleep 1000' & echo $$ > own; wait\n$ echo next\n",
    )
}

fn ask_to_cancel(harness: &Harness, turn: &TurnId) {
    let turn = turn.clone();
    harness.write(move |writer| writer.request_cancel(&turn));
}

fn cancelled_within_a_second(harness: &Harness, worker: &Worker, turn: &TurnId) {
    let begun = Instant::now();
    ask_to_cancel(harness, turn);
    worker.agents.cancel(turn);
    assert_eq!(harness.ended(turn).state, TurnState::Cancelled);
    assert!(begun.elapsed() < Duration::from_secs(1), "took {:?}", begun.elapsed());
}

#[test]
fn cancelling_kills_a_command_and_all_it_started() {
    let harness = Harness::open();
    let worker = harness.worker(1, None);
    let (session, turn) = endless_command(&harness);
    worker.agents.wake();
    let (own, child) = (harness.pid("own"), harness.pid("child"));
    cancelled_within_a_second(&harness, &worker, &turn);
    harness.dead(own);
    harness.dead(child);
    assert_eq!(harness.results(&turn)[0].0, "cancelled");
    let next = harness.post(&session, "$ echo again\n");
    worker.agents.wake();
    assert_eq!(harness.ended(&next).state, TurnState::Completed);
}

#[test]
fn cancelling_ends_a_model_call() {
    let endless = Endpoint::start(ENDLESS);
    let harness = Harness::with(|config| {
        config.models.insert("endless".to_owned(), model_at(endless.address));
    });
    let worker = harness.worker(1, None);
    let session = harness.session("endless", None);
    let turn = harness.post(&session, "think");
    worker.agents.wake();
    harness.said(&session, "text.delta");
    cancelled_within_a_second(&harness, &worker, &turn);
}

/// The cancel is committed after the claim, but nobody tells the worker.
#[test]
fn a_cancel_just_after_the_claim_is_seen() {
    let harness = Harness::open();
    let (_, turn) = harness.runbook("$ touch touched\n");
    let (_, ()) = harness.as_another(1, |writer, lease| {
        writer.request_cancel(&lease.turn_id)?;
        Ok(())
    });
    let _worker = harness.worker(2, Some(1));
    assert_eq!(harness.ended(&turn).state, TurnState::Cancelled);
    assert!(!harness.workplace("touched").exists());
}

/// Nothing new is begun on a full disk, but what was cancelled ends.
#[test]
fn a_cancelled_turn_ends_while_the_disk_is_low() {
    let harness = Harness::open();
    let (_, turn) = harness.runbook("$ touch touched\n");
    harness.as_another(1, |writer, lease| {
        let call = call("bash", r#"{"command":"touch touched"}"#);
        let reply = NewReply { tool_calls: vec![call.clone()], ..NewReply::default() };
        writer.record_reply(lease, reply)?;
        writer.start_call(lease, &PendingCall::new(call, "test_low", "local"))?;
        writer.hand_over(lease)
    });
    ask_to_cancel(&harness, &turn);
    assert_eq!(harness.turn(&turn).state, TurnState::Queued, "its command has to be killed first");
    let (_, other) = harness.runbook("$ true\n");
    harness.store.keep_free(u64::MAX / 4);
    let _worker = harness.worker(2, Some(1));
    assert_eq!(harness.ended(&turn).state, TurnState::Cancelled);
    assert!(!harness.workplace("touched").exists());
    assert_eq!(harness.turn(&other).state, TurnState::Queued);
    harness.store.keep_free(0);
    assert_eq!(harness.ended(&other).state, TurnState::Completed);
}

/// An endpoint that does not say its window holds up no drain.
#[test]
fn a_drain_does_not_wait_for_what_an_endpoint_says_of_its_window() {
    let hung = Endpoint::start("");
    let harness = Harness::with(|config| {
        config.models.insert("hung".to_owned(), model_at(hung.address));
    });
    let worker = harness.worker(1, None);
    let session = harness.session("hung", None);
    let turn = harness.post(&session, &"many words ".repeat(400));
    worker.agents.wake();
    harness.said(&session, "turn.started");
    harness.pause(Duration::from_millis(300));
    let begun = Instant::now();
    assert_eq!(worker.drain(Duration::from_secs(20)), (1, 0));
    assert!(begun.elapsed() < Duration::from_secs(10), "took {:?}", begun.elapsed());
    assert_eq!(harness.turn(&turn).state, TurnState::Queued);
}

/// A drain does not wait for a command: the next worker goes on with it.
#[test]
fn draining_hands_a_running_command_over() {
    let harness = Harness::open();
    let first = harness.worker(1, None);
    let (session, turn) = harness.runbook(
        "$ echo ran >> runs; echo early; touch started; until [ -e go ]; do sleep 0.01; done; \
         echo late\n$ echo ran >> next\n",
    );
    first.agents.wake();
    harness.until("start", || harness.workplace("started").exists(), |&exists| exists);
    let begun = Instant::now();
    assert_eq!(first.drain(Duration::from_secs(20)), (1, 0));
    assert!(begun.elapsed() < Duration::from_secs(5), "took {:?}", begun.elapsed());
    let handed_over = harness.turn(&turn);
    assert_eq!((handed_over.state, handed_over.owner), (TurnState::Queued, None));
    assert_eq!(harness.lines("next"), [""; 0], "a draining worker started a step");

    let _second = harness.worker(2, Some(1));
    harness.said(&session, "turn.resumed");
    std::fs::write(harness.workplace("go"), "").unwrap();
    assert_eq!(harness.ended(&turn).state, TurnState::Completed);
    assert_eq!((harness.lines("runs").len(), harness.lines("next").len()), (1, 1));
    assert_eq!(harness.results(&turn)[0], ("ok", "early\nlate\n".to_owned()));
    assert_eq!(harness.shown(&session), "early\nlate\n");
    let names = harness.event_names(&session);
    assert!(names.windows(2).any(|pair| pair == ["turn.handed_over", "turn.resumed"]), "{names:?}");
}

/// What a drained worker could not hand over did not kill it.
#[test]
fn a_turn_that_a_drained_worker_still_owns_is_no_death() {
    let harness = Harness::with(|config| config.agents.max_takeovers = 1);
    for (drains, ends) in [(true, TurnState::Completed), (false, TurnState::Failed)] {
        let own = harness.write(|writer| writer.register_generation(1, 1));
        let (_, turn) = harness.runbook("$ echo one\n");
        harness.as_another(own, |_, _| Ok(()));
        let worker = harness.worker(own, None);
        if drains {
            assert_eq!(worker.drain(Duration::from_secs(20)), (0, 0));
        }
        drop(worker);
        let next = harness.write(|writer| writer.register_generation(1, 1));
        let _worker = harness.worker(next, Some(own));
        assert_eq!(harness.ended(&turn).state, ends, "drained: {drains}");
    }
}

#[test]
fn an_idle_worker_drains_at_once_and_claims_no_more() {
    let harness = Harness::open();
    let worker = harness.worker(1, None);
    let begun = Instant::now();
    assert_eq!(worker.drain(Duration::from_secs(20)), (0, 0));
    assert!(begun.elapsed() < Duration::from_secs(2), "took {:?}", begun.elapsed());
    let (_, turn) = harness.runbook("$ echo late\n");
    worker.agents.wake();
    worker.runtime.block_on(worker.agents.ping());
    assert_eq!(harness.turn(&turn).state, TurnState::Queued);
}

#[test]
fn a_model_call_is_abandoned_when_the_time_to_drain_ends() {
    let endless = Endpoint::start(ENDLESS);
    let harness = Harness::with(|config| {
        config.models.insert("endless".to_owned(), model_at(endless.address));
    });
    let first = harness.worker(1, None);
    let session = harness.session("endless", None);
    let turn = harness.post(&session, "think");
    first.agents.wake();
    harness.said(&session, "text.delta");
    assert_eq!(first.drain(Duration::from_secs(2)), (1, 0));
    assert_eq!(harness.turn(&turn).state, TurnState::Queued);

    let second = harness.worker(2, Some(1));
    harness.said(&session, "text.retracted");
    let names = harness.event_names(&session);
    assert!(
        names
            .windows(3)
            .any(|three| three == ["turn.handed_over", "turn.resumed", "text.retracted"]),
        "{names:?}"
    );
    cancelled_within_a_second(&harness, &second, &turn);
}

/// While a command belongs to nobody, a client cancels: who claims it kills it.
#[test]
fn a_cancel_of_a_command_that_was_handed_over_kills_it() {
    let harness = Harness::open();
    let first = harness.worker(1, None);
    let (_, turn) = endless_command(&harness);
    first.agents.wake();
    let (own, child) = (harness.pid("own"), harness.pid("child"));
    assert_eq!(first.drain(Duration::from_secs(20)), (1, 0));
    drop(first);
    ask_to_cancel(&harness, &turn);
    assert_eq!(harness.turn(&turn).state, TurnState::Queued, "nobody has killed it");
    let _second = harness.worker(2, Some(1));
    assert_eq!(harness.ended(&turn).state, TurnState::Cancelled);
    harness.dead(own);
    harness.dead(child);
    assert_eq!(harness.results(&turn)[0].0, "cancelled");
}

/// While a worker drains, a client of its successor cancels: only the database tells.
#[test]
fn a_cancel_through_the_successor_is_noticed() {
    let endless = Endpoint::start(ENDLESS);
    let harness = Harness::with(|config| {
        config.models.insert("endless".to_owned(), model_at(endless.address));
    });
    let first = harness.worker(1, None);
    let session = harness.session("endless", None);
    let turn = harness.post(&session, "think");
    first.agents.wake();
    harness.said(&session, "text.delta");
    std::thread::scope(|scope| {
        let draining = scope.spawn(|| first.drain(Duration::from_secs(20)));
        let begun = Instant::now();
        elsewhere(&harness, &turn);
        assert_eq!(harness.ended(&turn).state, TurnState::Cancelled);
        assert!(begun.elapsed() < Duration::from_secs(1), "took {:?}", begun.elapsed());
        assert_eq!(draining.join().unwrap(), (0, 0));
    });
}

/// Sets the flag as another process does: on a connection of its own.
fn elsewhere(harness: &Harness, turn: &TurnId) {
    #[expect(clippy::disallowed_methods, reason = "stands for another process")]
    let other = rusqlite::Connection::open(harness.database()).unwrap();
    other.busy_timeout(Duration::from_secs(5)).unwrap();
    let sql = "UPDATE turns SET cancel_requested = 1 WHERE id = ?1";
    assert_eq!(other.execute(sql, [turn.as_str()]).unwrap(), 1);
}
