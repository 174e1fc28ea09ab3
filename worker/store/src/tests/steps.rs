//! What a turn leaves behind, step by step.

use super::*;

const USAGE: Usage = Usage {
    input_tokens: 10,
    cached_tokens: 4,
    cache_write_tokens: 2,
    output_tokens: 3,
    reasoning_tokens: 1,
};

fn transcript(harness: &Harness, turn: &TurnId) -> Vec<Item> {
    let turn = turn.clone();
    harness.read(move |reader| reader.transcript(&turn))
}

fn result(id: &str, outcome: Outcome, content: &str) -> Item {
    let ToolCall { id: call_id, name, .. } = call(id);
    Item::ToolResult { call_id, name, outcome, content: content.to_owned() }
}

fn reply(text: &str, tool_calls: Vec<ToolCall>) -> Item {
    Item::Assistant {
        text: text.to_owned(),
        tool_calls,
        usage: USAGE,
        cost: 0,
        model: String::new(),
        carried: None,
    }
}

#[test]
fn a_whole_turn_in_events_items_and_messages() {
    let harness = Harness::new();
    let lease = harness.running(1).lease;
    let own = lease.clone();
    harness.write(move |writer| {
        writer.record_reply(
            &own,
            NewReply {
                text: "let me see".to_owned(),
                tool_calls: vec![call("c")],
                usage: USAGE,
                ..NewReply::default()
            },
        )?;
        writer.start_call(&own, &pending("c", "command_id"))?;
        writer.finish_call(&own, &call("c"), Outcome::Error, "no such file".to_owned())?;
        writer.record_reply(
            &own,
            NewReply {
                text: "it is not there".to_owned(),
                tool_calls: Vec::new(),
                usage: USAGE,
                ..NewReply::default()
            },
        )?;
        writer.end_turn(&own, completed("it is not there"))
    });
    let turn = harness.turn(&lease.turn_id);
    assert_eq!((turn.state, turn.owner, turn.steps), (TurnState::Completed, None, 2));
    let mut twice = USAGE;
    twice += USAGE;
    assert_eq!(turn.usage, twice);
    assert!(turn.ended_at.is_some() && turn.error.is_none());
    let items = [
        Item::user("go".to_owned()),
        reply("let me see", vec![call("c")]),
        result("c", Outcome::Error, "no such file"),
        reply("it is not there", Vec::new()),
    ];
    assert_eq!(transcript(&harness, &lease.turn_id), items);
    let names = [
        "message.created",
        "turn.started",
        "step.completed",
        "tool.started",
        "tool.completed",
        "step.completed",
        "message.created",
        "turn.completed",
    ];
    assert_eq!(harness.names(&lease.session_id), names);
    let id = lease.session_id.clone();
    let messages = harness.read(move |reader| reader.messages(&id, &WHOLE)).data;
    let contents: Vec<_> = messages.iter().map(|message| message.content.as_str()).collect();
    assert_eq!(contents, ["go", "it is not there"]);
    assert!(messages.iter().all(|message| message.turn_id == lease.turn_id));
}

#[test]
fn a_failure_keeps_its_reason() {
    let harness = Harness::new();
    let lease = harness.running(1).lease;
    let error =
        TurnError { code: TurnErrorCode::ModelUnavailable, message: "no answer".to_owned() };
    let (own, end) = (lease.clone(), TurnEnd::Failed(error.clone()));
    harness.write(move |writer| writer.end_turn(&own, end));
    let turn = harness.turn(&lease.turn_id);
    assert_eq!((turn.state, turn.error), (TurnState::Failed, Some(error)));
    assert_eq!(harness.names(&lease.session_id).pop().unwrap(), "turn.failed");
    let next = harness.post(&lease.session_id, "again");
    assert_eq!(harness.claim(1).unwrap().turn.id, next, "the session goes on");
}

/// Models refuse a transcript with an open call: whatever ends a turn, each has its result.
#[test]
fn an_end_closes_open_calls() {
    let harness = Harness::new();
    for queued in [false, true] {
        let lease = harness.running(1).lease;
        let own = lease.clone();
        harness.write(move |writer| {
            let calls = vec![call("done"), call("begun"), call("not begun")];
            writer.record_reply(
                &own,
                NewReply {
                    text: String::new(),
                    tool_calls: calls,
                    usage: USAGE,
                    ..NewReply::default()
                },
            )?;
            writer.start_call(&own, &pending("done", "command_id"))?;
            writer.finish_call(&own, &call("done"), Outcome::Ok, "fine".to_owned())?;
            // A queued turn with a call that was begun does not end at once.
            if queued { Ok(()) } else { writer.start_call(&own, &pending("begun", "command_id")) }
        });
        let own = lease.clone();
        if queued {
            harness.write(move |writer| {
                writer.hand_over(&own)?;
                writer.request_cancel(&own.turn_id)
            });
        } else {
            harness.write(move |writer| writer.end_turn(&own, TurnEnd::Cancelled));
        }
        let outcomes: Vec<_> = transcript(&harness, &lease.turn_id)
            .into_iter()
            .filter_map(|item| match item {
                Item::ToolResult { call_id, outcome, .. } => Some((call_id, outcome)),
                _ => None,
            })
            .collect();
        let wanted = [
            ("done", Outcome::Ok),
            ("begun", Outcome::Cancelled),
            ("not begun", Outcome::Cancelled),
        ];
        assert_eq!(outcomes, wanted.map(|(id, outcome)| (id.to_owned(), outcome)), "{queued}");
        assert_eq!(harness.names(&lease.session_id).pop().unwrap(), "turn.cancelled");
        let open: u32 = harness.read(|reader| {
            let sql = "SELECT COUNT(*) FROM calls WHERE outcome IS NULL";
            reader.one("count", sql, [], |row| row.get(0))
        });
        assert_eq!(open, 0);
    }
}

/// The same call identifier may come again in a later step.
#[test]
fn a_call_is_known_by_its_step() {
    let harness = Harness::new();
    let lease = harness.running(1).lease;
    let own = lease.clone();
    harness.write(move |writer| {
        for content in ["first", "second"] {
            writer.record_reply(
                &own,
                NewReply {
                    text: String::new(),
                    tool_calls: vec![call("c")],
                    usage: USAGE,
                    ..NewReply::default()
                },
            )?;
            writer.start_call(&own, &pending("c", content))?;
            writer.finish_call(&own, &call("c"), Outcome::Ok, content.to_owned())?;
        }
        writer.end_turn(&own, completed("done"))
    });
    let results = transcript(&harness, &lease.turn_id);
    assert!(results.contains(&result("c", Outcome::Ok, "first")));
    assert!(results.contains(&result("c", Outcome::Ok, "second")));
}

#[test]
fn a_transcript_ends_with_its_turn() {
    let harness = Harness::new();
    let lease = harness.running(1).lease;
    let later = harness.post(&lease.session_id, "later");
    let elsewhere = harness.session();
    harness.post(&elsewhere.id, "elsewhere");
    let user = |text: &str| Item::user(text.to_owned());
    assert_eq!(transcript(&harness, &lease.turn_id), [user("go")]);
    assert_eq!(transcript(&harness, &later), [user("go"), user("later")]);
    let own = lease.clone();
    harness.write(move |writer| {
        writer.record_reply(
            &own,
            NewReply {
                text: "here".to_owned(),
                tool_calls: Vec::new(),
                usage: USAGE,
                ..NewReply::default()
            },
        )?;
        writer.end_turn(&own, completed("here"))
    });
    let wanted = [user("go"), reply("here", Vec::new()), user("later")];
    assert_eq!(transcript(&harness, &later), wanted);
    assert_eq!(transcript(&harness, &TurnId::new()), []);
}
