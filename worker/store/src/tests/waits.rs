//! Turns that wait until a time.

use super::*;
use evonic_domain::{WaitReason, Waiting};

fn until(time: Duration, reason: WaitReason) -> Waiting {
    Waiting { reason, until: column::after(time), message: "later".to_owned() }
}

const HOUR: Duration = Duration::from_secs(3600);

/// A claimed turn that is left for so long.
fn waits(harness: &Harness, time: Duration, reason: WaitReason) -> (TurnId, SessionId) {
    let session = harness.session();
    let turn = harness.post(&session.id, "go");
    let lease = harness.claim(1).unwrap().lease;
    harness.write(move |writer| writer.wait_turn(&lease, &until(time, reason)));
    (turn, session.id)
}

fn may_run(harness: &Harness) -> Vec<TurnId> {
    let woken = |writer: &mut AuditedWriter<'_, '_>| {
        writer.wake_turns()?;
        writer.waiting_turns()
    };
    harness.write(woken).into_iter().map(|turn| turn.turn_id).collect()
}

fn turn(harness: &Harness, id: &TurnId) -> Turn {
    let id = id.clone();
    harness.read(move |reader| reader.turn(&id))
}

/// Runs a statement as time itself, or another start of the machine, would have.
fn by_hand(harness: &Harness, sql: &'static str) {
    harness.write(move |writer| writer.execute("test", sql, []));
}

/// The uptime at which the wait of every turn was over.
const OVER: &str = "UPDATE turns SET wait_ends = 1 WHERE wait_ends IS NOT NULL";

#[test]
fn a_turn_that_waits_is_claimed_at_its_time_and_says_until_when() {
    let harness = Harness::new();
    let (id, session) = waits(&harness, HOUR, WaitReason::RateLimit);
    assert_eq!(may_run(&harness), []);
    let waiting = turn(&harness, &id).waiting.expect("it waits");
    assert_eq!((waiting.reason, waiting.message.as_str()), (WaitReason::RateLimit, "later"));
    let left = harness.read(|reader| reader.next_wait()).expect("one waits");
    assert!(left <= HOUR && left > HOUR / 2, "{left:?}");
    let events = harness.events(&session);
    let last = events.last().unwrap();
    assert_eq!(last.name, "turn.waiting");
    assert!(last.data.contains(&waiting.until), "{}", last.data);

    by_hand(&harness, OVER);
    assert_eq!(harness.read(|reader| reader.next_wait()), Some(Duration::ZERO));
    assert_eq!(may_run(&harness), std::slice::from_ref(&id));
    assert_eq!(turn(&harness, &id).waiting, None);
    assert_eq!(harness.read(|reader| reader.next_wait()), None);
    assert!(harness.claim(1).is_some());
}

/// Its session's next turns stay behind it, and a cancel of it lets them go.
#[test]
fn what_is_behind_a_waiting_turn_waits_with_it() {
    for cancels in [false, true] {
        let harness = Harness::new();
        let (session, other) = (harness.session(), harness.session());
        let first = harness.post(&session.id, "one");
        let early = harness.post(&session.id, "two");
        let lease = harness.claim(1).unwrap().lease;
        harness.write(move |writer| writer.wait_turn(&lease, &until(HOUR, WaitReason::RateLimit)));
        let late = harness.post(&session.id, "three");
        let elsewhere = harness.post(&other.id, "four");
        assert_eq!(may_run(&harness), std::slice::from_ref(&elsewhere));
        assert_eq!(turn(&harness, &late).waiting, None, "it waits for no reason of its own");
        let rows = "SELECT COUNT(*) AS n FROM turns WHERE wait_ends IS NOT NULL";
        let rows = harness
            .read(move |reader| reader.one("test", rows, [], |row| column::natural(row, "n")));
        assert_eq!(rows, 3, "nobody looks through them");
        harness.write({
            let elsewhere = elsewhere.clone();
            move |writer| writer.request_cancel(&elsewhere)
        });
        if cancels {
            let cancelled = harness.write({
                let first = first.clone();
                move |writer| writer.request_cancel(&first)
            });
            assert_eq!((cancelled.state, cancelled.waiting), (TurnState::Cancelled, None));
        } else {
            by_hand(&harness, OVER);
            assert_eq!(may_run(&harness), std::slice::from_ref(&first), "in their order");
            let lease = harness.claim(1).unwrap().lease;
            harness.write(move |writer| writer.end_turn(&lease, completed("done")));
        }
        for next in [early, late] {
            assert_eq!(may_run(&harness), [next]);
            let lease = harness.claim(1).unwrap().lease;
            harness.write(move |writer| writer.end_turn(&lease, completed("done")));
        }
    }
}

/// The owner was about to leave it until later, and did not see the cancel.
#[test]
fn a_cancel_that_comes_just_before_the_wait_ends_the_turn() {
    let harness = Harness::new();
    let claimed = harness.running(1);
    let (id, session) = (claimed.turn.id, claimed.turn.session_id);
    let asked = id.clone();
    let running = harness.write(move |writer| writer.request_cancel(&asked));
    assert_eq!(running.state, TurnState::Running);
    let lease = claimed.lease;
    let outcome =
        harness.write(move |writer| writer.wait_turn(&lease, &until(HOUR, WaitReason::RateLimit)));
    assert_eq!(outcome, WaitOutcome::Cancelled);
    let ended = turn(&harness, &id);
    assert_eq!((ended.state, ended.waiting), (TurnState::Cancelled, None));
    assert_eq!(harness.names(&session).last().unwrap(), "turn.cancelled");
    assert_eq!(harness.read(|reader| reader.next_wait()), None);
}

/// It neither overtakes the waiting turn nor is looked through, and goes on once that has ended.
#[test]
fn a_compaction_that_is_asked_for_waits_behind_a_waiting_turn() {
    let harness = Harness::new();
    let (id, session) = waits(&harness, HOUR, WaitReason::RateLimit);
    let compaction = harness.write(move |writer| writer.request_compaction(&session, 10, None)).id;
    assert_eq!(may_run(&harness), []);
    let sql = "SELECT COUNT(*) AS n FROM turns WHERE state = 'queued' AND wait_ends IS NULL";
    let looked_through =
        harness.read(move |reader| reader.one("test", sql, [], |row| column::natural(row, "n")));
    assert_eq!(looked_through, 0);
    assert!(turn(&harness, &id).waiting.is_some());
    harness.write(move |writer| writer.request_cancel(&id));
    assert_eq!(may_run(&harness), [compaction]);
}

/// The turn that they waited behind is gone, in whatever way.
#[test]
fn what_waits_behind_nobody_goes_on_with_the_next_worker() {
    let harness = Harness::new();
    let (_, session) = waits(&harness, HOUR, WaitReason::RateLimit);
    let behind = harness.post(&session, "two");
    let (other, _) = waits(&harness, HOUR, WaitReason::RateLimit);
    by_hand(
        &harness,
        "UPDATE turns SET state = 'failed', ended_at = created_at, wait_ends = NULL, wait_until = NULL
         WHERE position = (SELECT MIN(position) FROM turns)",
    );
    assert_eq!(may_run(&harness), []);
    harness.write(|writer| writer.resume_waits());
    assert_eq!(may_run(&harness), [behind]);
    assert!(turn(&harness, &other).waiting.is_some());
}

/// A turn that only has to end is found by itself; one behind another is not.
#[test]
fn a_turn_that_was_cancelled_while_it_waits_for_its_next_owner_is_found() {
    let harness = Harness::new();
    assert_eq!(harness.read(|reader| reader.cancelled_turn()), None);
    harness.running(1);
    let claimed = harness.running(1);
    let session = claimed.turn.session_id.clone();
    let lease = claimed.lease.clone();
    harness.write(move |writer| {
        let reply = NewReply { tool_calls: vec![call("c")], ..NewReply::default() };
        writer.record_reply(&lease, reply)?;
        writer.start_call(&lease, &pending("c", "test_c"))?;
        writer.hand_over(&lease)
    });
    harness.post(&session, "behind");
    let asked = claimed.turn.id.clone();
    harness.write(move |writer| writer.request_cancel(&asked));
    let found = harness.read(|reader| reader.cancelled_turn()).expect("it has to end");
    assert_eq!(found.turn_id, claimed.turn.id);
    assert!(harness.claim(2).is_some());
    assert_eq!(harness.read(|reader| reader.cancelled_turn()), None);
}

#[test]
fn attempts_and_their_time_are_counted_until_a_reply() {
    let harness = Harness::new();
    let session = harness.session();
    harness.post(&session.id, "go");
    let first = harness.claim(1).unwrap();
    assert_eq!((first.faults, first.tried), (0, Duration::ZERO));
    let second = Duration::from_secs(1);
    let lease = first.lease;
    harness.write(move |writer| {
        writer.count_attempt(&lease, 1, second)?;
        writer.wait_turn(&lease, &until(HOUR, WaitReason::Unavailable))
    });
    by_hand(&harness, OVER);
    assert_eq!(may_run(&harness).len(), 1);
    let again = harness.claim(2).unwrap();
    assert_eq!(again.faults, 1);
    assert!(again.tried > HOUR && again.tried <= HOUR + second, "{:?}", again.tried);
    // What waits for a budget tries nothing.
    let (lease, tried) = (again.lease, again.tried);
    harness.write(move |writer| writer.wait_turn(&lease, &until(HOUR, WaitReason::Budget)));
    by_hand(&harness, OVER);
    assert_eq!(may_run(&harness).len(), 1);
    let again = harness.claim(2).unwrap();
    assert_eq!((again.faults, again.tried), (1, tried));
    let lease = again.lease;
    harness.write(move |writer| {
        let calls = vec![call("c")];
        writer.record_reply(&lease, NewReply { tool_calls: calls, ..NewReply::default() })?;
        writer.hand_over(&lease)
    });
    let last = harness.claim(3).unwrap();
    assert_eq!((last.faults, last.tried), (0, Duration::ZERO));
    // So does whoever asks another endpoint next.
    let lease = last.lease;
    harness.write(move |writer| {
        writer.count_attempt(&lease, 1, second)?;
        writer.forget_attempts(&lease)?;
        writer.hand_over(&lease)
    });
    let other = harness.claim(4).unwrap();
    assert_eq!((other.faults, other.tried), (0, Duration::ZERO));
}

#[test]
fn who_does_not_own_a_turn_cannot_leave_it() {
    let harness = Harness::new();
    let mut lease = harness.running(1).lease;
    lease.generation = 2;
    let refused = harness
        .try_write(move |writer| writer.wait_turn(&lease, &until(HOUR, WaitReason::RateLimit)));
    assert!(matches!(refused, Err(StoreError::Fenced)), "{refused:?}");
}

/// However far in the future it is asked for, and whatever the clock says.
#[test]
fn no_wait_is_longer_than_the_longest() {
    let harness = Harness::new();
    let (id, _) = waits(&harness, LONGEST_WAIT * 100, WaitReason::Budget);
    let left = harness.read(|reader| reader.next_wait()).expect("it waits");
    assert!(left <= LONGEST_WAIT, "{left:?}");
    let told = turn(&harness, &id).waiting.unwrap().until;
    assert!(told <= column::after(LONGEST_WAIT), "{told}");
}

/// After a start of the machine the uptime of before says nothing.
#[test]
fn a_wait_of_before_the_machines_start_goes_on_by_the_clock() {
    let harness = Harness::new();
    let (past, month) =
        ("2020-01-01T00:00:00.000Z", column::after(Duration::from_secs(30 * 86_400)));
    for (until, at_least, at_most) in [
        (past.to_owned(), Duration::ZERO, Duration::ZERO),
        (column::after(HOUR / 2), HOUR / 4, HOUR / 2),
        // The clock was set back by a month while the machine was off.
        (month, HOUR / 2, HOUR),
    ] {
        let (id, session) = waits(&harness, HOUR, WaitReason::RateLimit);
        let behind = harness.post(&session, "two");
        let told = until.clone();
        harness.write(move |writer| {
            let sql = "UPDATE turns SET wait_ends = wait_ends + 100000000000,
                wait_boot = 'another', wait_until = iif(wait_until IS NULL, NULL, ?1)
                WHERE wait_ends IS NOT NULL";
            writer.execute("test", sql, [&told])
        });
        harness.write(|writer| writer.resume_waits());
        let left = harness.read(|reader| reader.next_wait()).expect("it waits");
        assert!(left >= at_least && left <= at_most, "{until}: {left:?}");
        // A second worker of this boot changes nothing.
        let before = turn(&harness, &id);
        harness.write(|writer| writer.resume_waits());
        assert_eq!(turn(&harness, &id), before);
        for turn in [id, behind] {
            harness.write(move |writer| writer.request_cancel(&turn));
        }
    }
}

/// A budget's period is the calendar's; another wait is no shorter for a clock that was set.
#[test]
fn only_a_budget_is_woken_by_the_walls_clock() {
    let harness = Harness::new();
    let (budget, _) = waits(&harness, HOUR, WaitReason::Budget);
    let (limit, _) = waits(&harness, HOUR, WaitReason::RateLimit);
    harness.write(|writer| writer.wake_turns_by_clock());
    assert_eq!(may_run(&harness), []);
    by_hand(&harness, "UPDATE turns SET wait_until = '2020-01-01T00:00:00.000Z'");
    assert_eq!(may_run(&harness), [], "the uptime alone counts");
    harness.write(|writer| writer.wake_turns_by_clock());
    assert_eq!(may_run(&harness), [budget]);
    assert!(turn(&harness, &limit).waiting.is_some());
}

#[test]
fn who_waits_until_a_time_is_found_by_the_index() {
    let harness = Harness::new();
    for sql in [crate::waits::NEXT, crate::waits::WAKE] {
        let plan: Vec<String> = harness.read(move |reader| {
            let sql = format!("EXPLAIN QUERY PLAN {sql}").replace("?1", "1").replace("?2", "1");
            reader.all("explain", &sql, [], |row| row.get("detail"))
        });
        assert!(plan.iter().any(|step| step.contains("turns_later")), "{plan:#?}");
        assert!(!plan.iter().any(|step| step == "SCAN turns"), "{plan:#?}");
        assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{plan:#?}");
    }
}

/// Ten thousand turns that wait cost the claim of others nothing.
#[test]
fn many_waiting_turns_do_not_slow_a_claim() {
    let harness = Harness::new();
    let other = harness.session();
    let mut look = || {
        let turn = harness.post(&other.id, "go");
        let begun = Instant::now();
        for _ in 0..20 {
            assert_eq!(may_run(&harness), std::slice::from_ref(&turn));
        }
        let took = begun.elapsed();
        harness.write(move |writer| writer.request_cancel(&turn));
        took
    };
    let best = |look: &mut dyn FnMut() -> Duration| (0..20).map(|_| look()).min().unwrap();
    let (_, session) = waits(&harness, HOUR, WaitReason::RateLimit);
    harness.post(&session, "behind");
    // As many more, of the same caller and agent, each in a session with a turn behind it.
    harness.copy_waiting(&session, 5000);
    let among = best(&mut look);
    // As many that have ended: the file is as large.
    by_hand(&harness, "UPDATE turns SET state = 'cancelled', ended_at = created_at");
    let alone = best(&mut look);
    println!("20 looks at the queue: {among:?} among 10,000 that wait, {alone:?} among none");
    assert!(among < alone * 2, "{among:?} among 10,000, {alone:?} alone");
}
