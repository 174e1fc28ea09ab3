//! Cancelling turns, draining workers.

use std::time::{Duration, Instant};

use super::shop::{Endless, Shop, Worker};
use evonic_domain::{SessionId, TurnId, TurnState};

/// A turn whose command left its process group and waits for ever.
fn endless_command(shop: &Shop) -> (SessionId, TurnId) {
    shop.runbook(
        "$ echo ran >> runs; setsid sh -c 'echo $$ > child; sleep 1000' & echo $$ > own; wait\n$ echo next\n",
    )
}

fn ask_to_cancel(shop: &Shop, turn: &TurnId) {
    let turn = turn.clone();
    shop.write(move |writer| writer.request_cancel(&turn));
}

fn cancelled_within_a_second(shop: &Shop, worker: &Worker, turn: &TurnId) {
    let begun = Instant::now();
    ask_to_cancel(shop, turn);
    worker.agents.cancel(turn);
    assert_eq!(shop.ended(turn).state, TurnState::Cancelled);
    assert!(begun.elapsed() < Duration::from_secs(1), "took {:?}", begun.elapsed());
}

#[test]
fn cancelling_kills_a_command_and_all_it_started() {
    let shop = Shop::open();
    let worker = shop.worker(1, None);
    let (session, turn) = endless_command(&shop);
    worker.agents.wake();
    let (own, child) = (shop.pid("own"), shop.pid("child"));
    cancelled_within_a_second(&shop, &worker, &turn);
    shop.dead(own);
    shop.dead(child);
    assert_eq!(shop.results(&turn)[0].0, "cancelled");
    let next = shop.post(&session, "$ echo again\n");
    worker.agents.wake();
    assert_eq!(shop.ended(&next).state, TurnState::Completed);
}

#[test]
fn cancelling_ends_a_model_call() {
    let endless = Endless::start();
    let shop = Shop::with(|config| endless.configure(config));
    let worker = shop.worker(1, None);
    let session = shop.session("endless", None);
    let turn = shop.post(&session, "think");
    worker.agents.wake();
    shop.said(&session, "text.delta");
    cancelled_within_a_second(&shop, &worker, &turn);
}

/// The cancel is committed after the claim, but nobody tells the worker.
#[test]
fn a_cancel_just_after_the_claim_is_seen() {
    let shop = Shop::open();
    let (_, turn) = shop.runbook("$ touch touched\n");
    let (_, ()) = shop.as_another(1, |writer, lease| {
        writer.request_cancel(&lease.turn_id)?;
        Ok(())
    });
    let _worker = shop.worker(2, Some(1));
    assert_eq!(shop.ended(&turn).state, TurnState::Cancelled);
    assert!(!shop.workplace("touched").exists());
}

/// A drain does not wait for a command: the next worker goes on with it.
#[test]
fn draining_hands_a_running_command_over() {
    let shop = Shop::open();
    let first = shop.worker(1, None);
    let (session, turn) = shop.runbook(
        "$ echo ran >> runs; echo early; touch started; until [ -e go ]; do sleep 0.01; done; \
         echo late\n$ echo ran >> next\n",
    );
    first.agents.wake();
    shop.until("start", || shop.workplace("started").exists(), |&exists| exists);
    let begun = Instant::now();
    assert_eq!(first.drain(Duration::from_secs(20)), (1, 0));
    assert!(begun.elapsed() < Duration::from_secs(5), "took {:?}", begun.elapsed());
    let handed_over = shop.turn(&turn);
    assert_eq!((handed_over.state, handed_over.owner), (TurnState::Queued, None));
    assert_eq!(shop.lines("next"), [""; 0], "a draining worker started a step");

    let _second = shop.worker(2, Some(1));
    shop.said(&session, "turn.resumed");
    std::fs::write(shop.workplace("go"), "").unwrap();
    assert_eq!(shop.ended(&turn).state, TurnState::Completed);
    assert_eq!((shop.lines("runs").len(), shop.lines("next").len()), (1, 1));
    assert_eq!(shop.results(&turn)[0], ("ok", "early\nlate\n".to_owned()));
    assert_eq!(shop.shown(&session), "early\nlate\n");
    let names = shop.event_names(&session);
    assert!(names.windows(2).any(|pair| pair == ["turn.handed_over", "turn.resumed"]), "{names:?}");
}

#[test]
fn an_idle_worker_drains_at_once_and_claims_no_more() {
    let shop = Shop::open();
    let worker = shop.worker(1, None);
    let begun = Instant::now();
    assert_eq!(worker.drain(Duration::from_secs(20)), (0, 0));
    assert!(begun.elapsed() < Duration::from_secs(2), "took {:?}", begun.elapsed());
    let (_, turn) = shop.runbook("$ echo late\n");
    worker.agents.wake();
    worker.runtime.block_on(worker.agents.ping());
    assert_eq!(shop.turn(&turn).state, TurnState::Queued);
}

#[test]
fn a_model_call_is_let_go_when_patience_ends() {
    let endless = Endless::start();
    let shop = Shop::with(|config| endless.configure(config));
    let first = shop.worker(1, None);
    let session = shop.session("endless", None);
    let turn = shop.post(&session, "think");
    first.agents.wake();
    shop.said(&session, "text.delta");
    assert_eq!(first.drain(Duration::from_secs(2)), (1, 0));
    assert_eq!(shop.turn(&turn).state, TurnState::Queued);

    let second = shop.worker(2, Some(1));
    shop.said(&session, "text.retracted");
    let names = shop.event_names(&session);
    assert!(
        names
            .windows(3)
            .any(|three| three == ["turn.handed_over", "turn.resumed", "text.retracted"]),
        "{names:?}"
    );
    cancelled_within_a_second(&shop, &second, &turn);
}

/// While a command belongs to nobody, a client cancels: who claims it kills it.
#[test]
fn a_cancel_of_a_command_that_was_handed_over_kills_it() {
    let shop = Shop::open();
    let first = shop.worker(1, None);
    let (_, turn) = endless_command(&shop);
    first.agents.wake();
    let (own, child) = (shop.pid("own"), shop.pid("child"));
    assert_eq!(first.drain(Duration::from_secs(20)), (1, 0));
    drop(first);
    ask_to_cancel(&shop, &turn);
    assert_eq!(shop.turn(&turn).state, TurnState::Queued, "nobody has killed it");
    let _second = shop.worker(2, Some(1));
    assert_eq!(shop.ended(&turn).state, TurnState::Cancelled);
    shop.dead(own);
    shop.dead(child);
    assert_eq!(shop.results(&turn)[0].0, "cancelled");
}

/// While a worker drains, a client of its successor cancels: only the database tells.
#[test]
fn a_cancel_through_the_successor_is_noticed() {
    let endless = Endless::start();
    let shop = Shop::with(|config| endless.configure(config));
    let first = shop.worker(1, None);
    let session = shop.session("endless", None);
    let turn = shop.post(&session, "think");
    first.agents.wake();
    shop.said(&session, "text.delta");
    std::thread::scope(|scope| {
        let draining = scope.spawn(|| first.drain(Duration::from_secs(20)));
        let begun = Instant::now();
        elsewhere(&shop, &turn);
        assert_eq!(shop.ended(&turn).state, TurnState::Cancelled);
        assert!(begun.elapsed() < Duration::from_secs(1), "took {:?}", begun.elapsed());
        assert_eq!(draining.join().unwrap(), (0, 0));
    });
}

/// Sets the flag as another process does: on a connection of its own.
fn elsewhere(shop: &Shop, turn: &TurnId) {
    #[expect(clippy::disallowed_methods, reason = "stands for another process")]
    let other = rusqlite::Connection::open(shop.database()).unwrap();
    other.busy_timeout(Duration::from_secs(5)).unwrap();
    let sql = "UPDATE turns SET cancel_requested = 1 WHERE id = ?1";
    assert_eq!(other.execute(sql, [turn.as_str()]).unwrap(), 1);
}
