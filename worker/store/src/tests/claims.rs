//! Who waits, what a turn cost, and how long it ran.

use super::*;

fn as_caller(harness: &Harness, actor: &str, session: &SessionId) -> TurnId {
    let origin = Origin { actor: actor.to_owned(), address: None, request_id: None };
    let session = session.clone();
    let post = harness
        .store
        .change(origin, move |writer| writer.post_message(&session, "go", None, 100, None));
    harness.wait(post).unwrap().turn.id
}

fn waiting(harness: &Harness) -> Vec<WaitingTurn> {
    let mut waiting = harness.read(|reader| reader.waiting_turns());
    waiting.sort_by_key(|turn| turn.position);
    waiting
}

fn other_agent(harness: &Harness) -> Session {
    harness.write(|writer| {
        writer.create_agent(new_agent("other"))?;
        writer.create_session(new_session("other"))
    })
}

/// Runs a statement as an earlier version, or time itself, would have.
fn by_hand(harness: &Harness, sql: &'static str) {
    harness.write(move |writer| writer.execute("test", sql, []));
}

#[test]
fn of_each_caller_and_agent_the_first_turn_that_may_run_waits() {
    let harness = Harness::new();
    let (one, two, other) = (harness.session(), harness.session(), other_agent(&harness));
    let first = as_caller(&harness, "key_1", &one.id);
    as_caller(&harness, "key_1", &one.id);
    let behind = as_caller(&harness, "key_2", &one.id);
    let free = as_caller(&harness, "key_2", &two.id);
    let elsewhere = as_caller(&harness, "key_1", &other.id);
    let rows: Vec<_> = waiting(&harness)
        .into_iter()
        .map(|turn| (turn.turn_id, turn.posted_by, turn.agent_id))
        .collect();
    let row = |turn: &TurnId, by: &str, session: &Session| {
        (turn.clone(), by.to_owned(), session.agent_id.to_string())
    };
    let wanted =
        [row(&first, "key_1", &one), row(&free, "key_2", &two), row(&elsewhere, "key_1", &other)];
    assert_eq!(rows, wanted);
    // What is behind another one's turn waits for that one's end.
    let lease = harness.claim(1).unwrap().lease;
    assert_eq!(lease.turn_id, first);
    let ids = |harness: &Harness| waiting(harness).into_iter().map(|turn| turn.turn_id);
    assert_eq!(ids(&harness).collect::<Vec<_>>(), [free.clone(), elsewhere.clone()]);
    let not_yet = behind.clone();
    harness.write(move |writer| writer.end_turn(&lease, completed("done")));
    assert!(ids(&harness).all(|id| id != not_yet), "the caller's second turn is before it");
    let last = harness.read(|reader| reader.last_position());
    assert_eq!(last, 5);
}

/// The plan of the query: one entry into the index a caller and agent, no scan of all turns.
#[test]
fn who_waits_is_found_by_the_index() {
    let harness = Harness::new();
    let plan: Vec<String> = harness.read(|reader| {
        let sql = format!("EXPLAIN QUERY PLAN {}", waiting::WAITING);
        reader.all("explain", &sql, [], |row| row.get("detail"))
    });
    for jump in ["posted_by=? AND agent_id=?", "posted_by=? AND agent_id>?", "posted_by>?"] {
        let entry = format!("turns_waiting ({jump})");
        assert!(plan.iter().any(|step| step.ends_with(&entry)), "no {entry}: {plan:#?}");
    }
    assert!(!plan.iter().any(|step| step == "SCAN turns" || step == "SCAN later"), "{plan:#?}");
    assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{plan:#?}");
}

#[test]
fn only_a_turn_that_waits_can_be_claimed() {
    let harness = Harness::new();
    let claimed = harness.running(1);
    for id in [claimed.turn.id, TurnId::new()] {
        let refused = harness.try_write(move |writer| writer.claim_turn(2, &id));
        assert_missing(refused, "queued turn");
    }
}

/// A turn that the worker of an earlier version posted has neither caller nor agent.
#[test]
fn a_turn_of_an_earlier_version_waits_too() {
    let harness = Harness::new();
    let session = harness.session();
    let turn = harness.post(&session.id, "go");
    by_hand(&harness, "UPDATE turns SET posted_by = '', agent_id = ''");
    assert_eq!(waiting(&harness)[0].turn_id, turn);
    let claimed = harness.claim(1).unwrap();
    assert_eq!(claimed.agent.id, session.agent_id);
}

#[test]
fn only_a_worker_that_died_with_a_turn_is_counted() {
    let harness = Harness::new();
    let register = |number| harness.write(move |writer| writer.register_generation(number, 1));
    let take_over = |dead: u64| {
        let taken = harness.write(move |writer| writer.take_over(dead));
        taken.into_iter().map(|taken| taken.takeovers).collect::<Vec<_>>()
    };
    let lease = harness.running(register(1)).lease;
    assert_eq!(take_over(1), [1]);
    let claimed = harness.claim(register(2)).unwrap();
    assert_eq!((claimed.turn.id, claimed.takeovers), (lease.turn_id.clone(), 1));
    // A hand-over is no death.
    harness.write(move |writer| writer.hand_over(&claimed.lease));
    assert_eq!(harness.claim(register(3)).unwrap().takeovers, 1);
    // Neither is the end of a worker that had drained.
    harness.write(|writer| writer.retire_generation(3));
    assert_eq!(take_over(3), [1]);
    assert_eq!(harness.claim(register(4)).unwrap().takeovers, 1);
    assert_eq!(take_over(4), [2]);
    let fatal = harness.read(|reader| reader.fatal_turns(10));
    let wanted = TakenTurn { turn_id: lease.turn_id.clone(), takeovers: 2 };
    assert_eq!(fatal, [wanted]);
    assert_eq!(harness.read(|reader| reader.fatal_turns(0)), []);
}

#[test]
fn each_committed_step_starts_the_count_anew() {
    type Write = fn(&mut AuditedWriter<'_, '_>, &Lease) -> Result<(), StoreError>;
    let reply: Write = |writer, lease| {
        let calls = vec![call("c"), call("d")];
        writer
            .record_reply(
                lease,
                NewReply { text: String::new(), tool_calls: calls, ..NewReply::default() },
            )
            .map(drop)
    };
    let start: Write = |writer, lease| writer.start_call(lease, &pending("c", "command_id"));
    let output: Write = |writer, lease| writer.show_output(lease, "c", "on".to_owned(), 2);
    let finish: Write =
        |writer, lease| writer.finish_call(lease, &call("c"), Outcome::Ok, String::new()).map(drop);
    let harness = Harness::new();
    let mut lease = harness.running(1).lease;
    for (write, counted) in [(reply, 0), (start, 1), (output, 2), (finish, 0)] {
        let own = lease.clone();
        harness.write(move |writer| write(writer, &own));
        let fatal = harness.read(|reader| reader.fatal_turns(1));
        assert_eq!(fatal.first().map_or(0, |turn| turn.takeovers), counted);
        harness.write(|writer| writer.take_over(1));
        let claimed = harness.claim(1).unwrap();
        assert_eq!(claimed.takeovers, counted + 1);
        lease = claimed.lease;
    }
}

#[test]
fn time_counts_while_a_worker_has_the_turn_and_not_in_the_queue() {
    let harness = Harness::new();
    let claimed = harness.running(1);
    assert_eq!(claimed.ran, Duration::ZERO);
    let hour_ago = "UPDATE turns SET claimed_uptime = claimed_uptime - 3600000,
                    claimed_at = '2020-01-01T00:00:00.000Z'";
    by_hand(&harness, hour_ago);
    harness.write(move |writer| writer.hand_over(&claimed.lease));
    let claimed = harness.claim(2).unwrap();
    let hours = |ran: Duration| ran.as_secs_f64() / 3600.0;
    assert!((1.0..1.02).contains(&hours(claimed.ran)), "{:?}", claimed.ran);
    by_hand(&harness, hour_ago);
    harness.write(|writer| writer.take_over(2));
    // A day in the queue, and a clock that was set back.
    by_hand(&harness, "UPDATE turns SET created_at = '2020-01-01T00:00:00.000Z'");
    let claimed = harness.claim(3).unwrap();
    assert!((2.0..2.04).contains(&hours(claimed.ran)), "{:?}", claimed.ran);
    // The machine was started anew, with a clock that was set back.
    by_hand(
        &harness,
        "UPDATE turns SET claimed_at = '2999-01-01T00:00:00.000Z', claimed_uptime = 1 << 60",
    );
    let lease = claimed.lease;
    harness.write(move |writer| writer.hand_over(&lease));
    let again = harness.claim(4).unwrap();
    assert_eq!(again.ran, claimed.ran);
    // The worker of an earlier version claims without saying when.
    by_hand(&harness, "UPDATE turns SET claimed_at = NULL, claimed_uptime = NULL");
    harness.write(|writer| writer.take_over(4));
    assert_eq!(harness.claim(5).unwrap().ran, claimed.ran);
}
