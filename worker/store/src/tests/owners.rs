//! Who runs a turn: claims, the fence, handing over, taking over, cancelling.

use super::*;

#[test]
fn a_generation_is_above_every_one_before() {
    let harness = Harness::new();
    let register = |proposed| harness.write(move |writer| writer.register_generation(proposed, 42));
    assert_eq!(register(1), 1);
    assert_eq!(register(5), 5, "what the supervisor counts");
    assert_eq!(register(5), 6, "unless it was there already");
    assert_eq!(register(0), 7);
}

#[test]
fn turns_are_claimed_in_order_and_one_of_a_session_at_a_time() {
    let harness = Harness::new();
    let (a, b) = (harness.session(), harness.session());
    let posted = [(&a, "1"), (&a, "2"), (&b, "3"), (&b, "4")]
        .map(|(session, content)| harness.post(&session.id, content));
    let first = harness.claim(1).unwrap();
    let second = harness.claim(2).unwrap();
    assert_eq!([&first.turn.id, &second.turn.id], [&posted[0], &posted[2]]);
    assert_eq!(harness.claim(1), None, "both sessions have a running turn");
    assert_eq!(harness.read(|reader| reader.backlog()), (2, 2));

    let lease = second.lease.clone();
    harness.write(move |writer| writer.end_turn(&lease, completed("done")));
    let third = harness.claim(1).unwrap();
    assert_eq!(third.turn.id, posted[3]);
    let lease = first.lease.clone();
    harness.write(move |writer| writer.end_turn(&lease, completed("done")));
    assert_eq!(harness.claim(1).unwrap().turn.id, posted[1]);
    assert_eq!(harness.read(|reader| reader.backlog()), (0, 2));
}

#[test]
fn a_claim_says_what_its_owner_needs() {
    let harness = Harness::new();
    let claimed = harness.running(3);
    let turn = harness.turn(&claimed.turn.id);
    assert_eq!(claimed.turn, turn);
    assert_eq!((turn.state, turn.owner), (TurnState::Running, Some(3)));
    assert!(turn.started_at.is_some() && turn.ended_at.is_none());
    assert_eq!(claimed.agent.name.as_str(), "runbook");
    assert_eq!(
        claimed.lease,
        Lease { turn_id: turn.id, session_id: turn.session_id.clone(), generation: 3 }
    );
    let fresh = (claimed.interrupted, claimed.partial_text, claimed.predecessor);
    assert_eq!(fresh, (None, false, None));
    assert_eq!(harness.names(&turn.session_id), ["message.created", "turn.started"]);
}

type Write = fn(&mut Writer<'_>, &Lease) -> Result<(), StoreError>;

/// Every write that names a lease.
const WRITES: [(&str, Write); 7] = [
    ("append", |writer, lease| writer.append(lease, vec![delta("x")])),
    ("record_reply", |writer, lease| {
        writer
            .record_reply(
                lease,
                NewReply { text: "x".to_owned(), tool_calls: Vec::new(), ..NewReply::default() },
            )
            .map(drop)
    }),
    ("start_call", |writer, lease| writer.start_call(lease, &pending("x", "command_id"))),
    ("show_output", |writer, lease| writer.show_output(lease, "x", String::new(), 1)),
    ("finish_call", |writer, lease| {
        writer.finish_call(lease, &call("x"), Outcome::Ok, "x".to_owned()).map(drop)
    }),
    ("hand_over", |writer, lease| writer.hand_over(lease)),
    ("end_turn", |writer, lease| writer.end_turn(lease, completed("x"))),
];

#[track_caller]
fn assert_fenced(harness: &Harness, lease: &Lease) {
    let (before, turn) = (harness.events(&lease.session_id), harness.turn(&lease.turn_id));
    for (name, write) in WRITES {
        let lease = lease.clone();
        let fenced = harness.try_write(move |writer| write(writer, &lease));
        assert!(matches!(fenced, Err(StoreError::Fenced)), "{name}: {fenced:?}");
    }
    assert_eq!(harness.events(&lease.session_id), before, "a fenced write leaves no event");
    assert_eq!(harness.turn(&lease.turn_id), turn, "a fenced write leaves the turn");
}

#[test]
fn every_write_of_a_turn_is_fenced() {
    let harness = Harness::new();
    let claimed = harness.running(1);
    let lease = claimed.lease;
    let other = harness.session();
    for wrong in [
        Lease { generation: 2, ..lease.clone() },
        Lease { turn_id: TurnId::new(), ..lease.clone() },
        Lease { session_id: other.id, ..lease.clone() },
    ] {
        for (name, write) in WRITES {
            let lease = wrong.clone();
            let fenced = harness.try_write(move |writer| write(writer, &lease));
            assert!(matches!(fenced, Err(StoreError::Fenced)), "{name}: {fenced:?}");
        }
    }
    assert_eq!(harness.write(|writer| writer.take_over(1)).len(), 1);
    assert_fenced(&harness, &lease); // While nobody runs it.
    let next = harness.claim(2).unwrap();
    assert_fenced(&harness, &lease);
    let own = next.lease.clone();
    harness.write(move |writer| writer.end_turn(&own, completed("done")));
    assert_fenced(&harness, &next.lease); // After its end.
}

/// Fenced within one transaction: what the closure did before is undone with it.
#[test]
fn a_fence_undoes_the_whole_closure() {
    let harness = Harness::new();
    let lease = harness.running(1).lease;
    let before = harness.events(&lease.session_id);
    let own = lease.clone();
    let fenced = harness.try_write(move |writer| {
        writer.append(&own, vec![delta("x")])?;
        writer.append(&Lease { generation: 2, ..own }, vec![delta("y")])
    });
    assert!(matches!(fenced, Err(StoreError::Fenced)), "{fenced:?}");
    assert_eq!(harness.events(&lease.session_id), before);
}

#[test]
fn a_turn_is_handed_over_and_goes_on() {
    let harness = Harness::new();
    let lease = harness.running(1).lease;
    let own = lease.clone();
    harness.write(move |writer| {
        writer.record_reply(
            &own,
            NewReply { text: "thinking".to_owned(), tool_calls: Vec::new(), ..NewReply::default() },
        )?;
        writer.hand_over(&own)
    });
    let turn = harness.turn(&lease.turn_id);
    assert_eq!((turn.state, turn.owner, turn.steps), (TurnState::Queued, None, 1));
    let claimed = harness.claim(2).unwrap();
    assert_eq!(claimed.turn.started_at, turn.started_at, "it began once");
    assert_eq!((claimed.predecessor, claimed.interrupted), (Some(1), None));
    let names = harness.names(&lease.session_id);
    assert_eq!(names[2..], ["step.completed", "turn.handed_over", "turn.resumed"]);
    let last = harness.events(&lease.session_id).pop().unwrap();
    let data: serde_json::Value = serde_json::from_str(&last.data).unwrap();
    assert_eq!((&data["generation"], &data["predecessor"]), (&2.into(), &1.into()));
}

/// A turn that goes on is the oldest: it comes before those that were queued after it.
#[test]
fn what_was_handed_over_goes_first() {
    let harness = Harness::new();
    let lease = harness.running(1).lease;
    harness.post(&lease.session_id, "next");
    let other = harness.session();
    harness.post(&other.id, "elsewhere");
    let own = lease.clone();
    harness.write(move |writer| writer.hand_over(&own));
    assert_eq!(harness.claim(2).unwrap().turn.id, lease.turn_id);
}

#[test]
fn turns_of_the_dead_are_taken_over_and_no_others() {
    let harness = Harness::new();
    let dead = [harness.running(1), harness.running(1)];
    let alive = harness.running(2);
    assert_eq!(harness.read(|reader| reader.foreign_owners(2)), [1]);
    assert_eq!(harness.read(|reader| reader.foreign_owners(9)), [1, 2]);

    let started = dead[0].lease.clone();
    harness.write(move |writer| {
        writer.append(&started, vec![delta("half a sen")])?;
        writer.record_reply(
            &started,
            NewReply {
                text: String::new(),
                tool_calls: vec![call("c1"), call("c2")],
                ..NewReply::default()
            },
        )?;
        writer.start_call(&started, &pending("c1", "command_id-1"))?;
        writer.finish_call(&started, &call("c1"), Outcome::Ok, "fine".to_owned())?;
        writer.start_call(&started, &pending("c2", "command_id-2"))
    });
    let partial = dead[1].lease.clone();
    harness.write(move |writer| writer.append(&partial, vec![delta("half a sen")]));

    assert_eq!(harness.write(|writer| writer.take_over(1)).len(), 2);
    assert_eq!(harness.write(|writer| writer.take_over(1)), []);
    assert_eq!(harness.turn(&alive.turn.id).owner, Some(2));
    assert_eq!(harness.read(|reader| reader.foreign_owners(2)), [0; 0]);

    let first = harness.claim(2).unwrap();
    assert_eq!((&first.turn.id, first.predecessor), (&dead[0].turn.id, Some(1)));
    let pending = pending("c2", "command_id-2");
    assert_eq!((first.interrupted, first.partial_text), (Some(pending), false));
    let second = harness.claim(2).unwrap();
    assert_eq!((&second.turn.id, second.predecessor), (&dead[1].turn.id, Some(1)));
    assert_eq!((second.interrupted, second.partial_text), (None, true));

    // Killed once more before anything was said of either.
    assert_eq!(harness.write(|writer| writer.take_over(2)).len(), 3);
    let again = harness.claim(3).unwrap();
    assert_eq!(again.predecessor, Some(2));
    assert!(again.interrupted.is_some(), "a call has its result or is told of");
}

#[test]
fn a_retraction_takes_partial_text_back() {
    let harness = Harness::new();
    let lease = harness.running(1).lease;
    let retracted = || EventKind::TextRetracted { reason: "interrupted".to_owned() };
    for (events, wanted) in [
        (vec![delta("a")], true),
        (vec![delta("a"), retracted()], false),
        (vec![retracted(), delta("b")], true),
        (vec![EventKind::ToolOutput { call_id: "c".to_owned(), text: "o".to_owned() }], true),
        (vec![], true),
    ] {
        let own = lease.clone();
        harness.write(move |writer| writer.append(&own, events));
        harness.write(|writer| writer.take_over(1));
        assert_eq!(harness.claim(1).unwrap().partial_text, wanted);
    }
}

#[test]
fn a_cancel_depends_on_where_the_turn_is() {
    let harness = Harness::new();
    let cancel = |id: &TurnId| {
        let id = id.clone();
        harness.try_write(move |writer| writer.request_cancel(&id))
    };
    assert_missing(cancel(&TurnId::new()), "turn");

    let session = harness.session();
    let queued = harness.post(&session.id, "queued");
    let ended = cancel(&queued).unwrap();
    assert_eq!((ended.state, ended.cancel_requested), (TurnState::Cancelled, true));
    assert!(ended.ended_at.is_some());
    assert_eq!(harness.names(&session.id), ["message.created", "turn.cancelled"]);
    assert_eq!(harness.claim(1), None);
    assert_eq!(cancel(&queued).unwrap(), ended, "again: nothing");
    assert_eq!(harness.names(&session.id).len(), 2);

    let lease = harness.running(1).lease;
    let asked = cancel(&lease.turn_id).unwrap();
    assert_eq!((asked.state, asked.cancel_requested), (TurnState::Running, true));
    let both = [queued, lease.turn_id.clone(), TurnId::new()];
    let running = lease.turn_id.clone();
    assert_eq!(harness.read(move |reader| reader.cancels(&both[1..])), [running]);
    harness.write(|writer| writer.take_over(1));
    let claimed = harness.claim(2).unwrap();
    assert!(claimed.turn.cancel_requested, "the wish survives its worker");
    harness.write(move |writer| writer.end_turn(&claimed.lease, TurnEnd::Cancelled));
    assert_eq!(cancel(&lease.turn_id).unwrap().state, TurnState::Cancelled);

    let lease = harness.running(1).lease;
    let id = lease.turn_id.clone();
    harness.write(move |writer| writer.end_turn(&lease, completed("done")));
    let late = cancel(&id).unwrap();
    assert_eq!((late.state, late.cancel_requested), (TurnState::Completed, false));
}

/// What an interrupted call left running is killed by who claims the turn next; so it is not
/// ended before.
#[test]
fn a_cancel_of_an_interrupted_turn_waits_for_its_next_owner() {
    let harness = Harness::new();
    let lease = harness.running(1).lease;
    let own = lease.clone();
    harness.write(move |writer| {
        writer.record_reply(
            &own,
            NewReply { text: String::new(), tool_calls: vec![call("c")], ..NewReply::default() },
        )?;
        writer.start_call(&own, &pending("c", "command_id"))
    });
    harness.write(|writer| writer.take_over(1));
    let id = lease.turn_id.clone();
    let asked = harness.write(move |writer| writer.request_cancel(&id));
    assert_eq!((asked.state, asked.cancel_requested), (TurnState::Queued, true));
    let claimed = harness.claim(2).unwrap();
    assert!(claimed.turn.cancel_requested && claimed.interrupted.is_some(), "{claimed:?}");
}

/// Of every other command nobody needs anything.
#[test]
fn a_command_is_pending_until_its_call_has_a_result() {
    let harness = Harness::new();
    let lease = harness.running(1).lease;
    let begin = lease.clone();
    harness.write(move |writer| {
        let calls = vec![call("c1"), call("c2")];
        writer.record_reply(
            &begin,
            NewReply { text: String::new(), tool_calls: calls, ..NewReply::default() },
        )?;
        writer.start_call(&begin, &pending("c1", "first"))?;
        writer.finish_call(&begin, &call("c1"), Outcome::Ok, String::new())?;
        writer.start_call(&begin, &pending("c2", "second"))
    });
    let commands = || harness.read(|reader| reader.pending_commands());
    assert_eq!(commands(), ["second"]);
    harness.write(|writer| writer.take_over(1));
    assert_eq!(commands(), ["second"], "it waits for its next owner");
    let lease = harness.claim(2).unwrap().lease;
    harness.write(move |writer| writer.end_turn(&lease, TurnEnd::Cancelled));
    assert_eq!(commands(), [""; 0]);
}

/// A call that only reads is run again where it was interrupted, under its new owner's command id.
#[test]
fn an_interrupted_call_can_be_started_again() {
    let harness = Harness::new();
    let lease = harness.running(1).lease;
    harness.write(move |writer| {
        writer.record_reply(
            &lease,
            NewReply { text: String::new(), tool_calls: vec![call("c")], ..NewReply::default() },
        )?;
        writer.start_call(&lease, &pending("c", "old"))
    });
    harness.write(|writer| writer.take_over(1));
    let lease = harness.claim(2).unwrap().lease;
    harness.write(move |writer| writer.start_call(&lease, &pending("c", "new")));
    harness.write(|writer| writer.take_over(2));
    assert_eq!(harness.claim(3).unwrap().interrupted, Some(pending("c", "new")));
}

#[test]
fn a_successor_knows_how_far_an_interrupted_call_was() {
    let harness = Harness::new();
    let lease = harness.running(1).lease;
    let start = PendingCall { repeated: Some("why".to_owned()), ..pending("c", "m") };
    let begun = start.clone();
    harness.write(move |writer| {
        writer.record_reply(
            &lease,
            NewReply { text: String::new(), tool_calls: vec![call("c")], ..NewReply::default() },
        )?;
        writer.start_call(&lease, &begun)?;
        writer.show_output(&lease, "c", "héllo".to_owned(), 6)
    });
    let taken_over = |by: u64, output_offset: u64| {
        let claimed = harness.claim(by).unwrap();
        let expected = PendingCall { output_offset, ..start.clone() };
        assert_eq!(claimed.interrupted, Some(expected));
        claimed.lease
    };
    harness.write(|writer| writer.take_over(1));
    let second = taken_over(2, 6);
    harness.write(move |writer| writer.hand_over(&second));
    let third = taken_over(3, 6);
    harness.write(|writer| writer.take_over(3));
    let fourth = taken_over(4, 6);
    drop(third);
    let all = PendingCall::ALL;
    harness.write(move |writer| writer.show_output(&fourth, "c", "and on".to_owned(), all));
    harness.write(|writer| writer.take_over(4));
    taken_over(5, all);
}
