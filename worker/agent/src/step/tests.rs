use proptest::prelude::*;

use super::*;
use evonic_domain::Outcome;

fn user() -> Item {
    Item::user("do it".to_owned())
}

fn call(id: usize) -> ToolCall {
    ToolCall { id: format!("c{id}"), name: "bash".to_owned(), arguments: "{}".to_owned() }
}

fn reply(calls: impl IntoIterator<Item = usize>) -> Item {
    let tool_calls = calls.into_iter().map(call).collect();
    Item::assistant("said", tool_calls)
}

fn result(id: usize) -> Item {
    Item::ToolResult {
        call_id: format!("c{id}"),
        name: "bash".to_owned(),
        outcome: Outcome::Ok,
        content: String::new(),
    }
}

fn pending(id: usize) -> PendingCall {
    PendingCall::new(call(id), &format!("m{id}"), "local")
}

fn snapshot(transcript: &[Item]) -> TurnSnapshot<'_> {
    let message = transcript.iter().rposition(|item| matches!(item, Item::User { .. }));
    let own = &transcript[message.unwrap_or(0)..];
    let replies = own.iter().filter(|item| matches!(item, Item::Assistant { .. }));
    TurnSnapshot {
        transcript,
        replies: replies.count() as u32,
        compacts: false,
        interrupted: None,
        effect: None,
        stop: None,
        draining: false,
        max_steps: 100,
    }
}

#[test]
fn a_message_is_put_to_the_model() {
    assert_eq!(next_step(&snapshot(&[user()])), Step::Ask);
    assert_eq!(next_step(&snapshot(&[user(), reply([0]), result(0)])), Step::Ask);
}

#[test]
fn calls_run_in_order_until_all_are_answered() {
    let transcript = [user(), reply([0, 1]), result(0), result(1)];
    assert_eq!(next_step(&snapshot(&transcript[..2])), Step::Call(call(0)));
    assert_eq!(next_step(&snapshot(&transcript[..3])), Step::Call(call(1)));
    assert_eq!(next_step(&snapshot(&transcript)), Step::Ask);
}

#[test]
fn calls_with_the_same_id_run_each() {
    let transcript = [user(), reply([7, 7]), result(7)];
    assert_eq!(next_step(&snapshot(&transcript)), Step::Call(call(7)));
}

#[test]
fn an_earlier_turn_is_none_of_our_business() {
    // An earlier turn that ended with a call unanswered and many replies.
    let transcript = [user(), reply([0]), result(0), reply([1]), user()];
    assert_eq!(unanswered(&transcript), []);
    let one = TurnSnapshot { max_steps: 1, ..snapshot(&transcript) };
    assert_eq!(next_step(&one), Step::Ask);
}

#[test]
fn replies_are_counted_over_all_that_was_sent_of_the_turn() {
    let transcript = [user(), reply([]), user(), reply([]), user()];
    let noted = |replies, max_steps| {
        next_step(&TurnSnapshot { replies, max_steps, ..snapshot(&transcript) })
    };
    assert_eq!(noted(2, 2), Step::TooManySteps);
    assert_eq!(noted(2, 3), Step::Ask);
}

#[test]
fn a_reply_that_asks_for_nothing_is_the_answer() {
    let transcript = [user(), reply([])];
    let complete = Step::Complete { text: "said".to_owned() };
    assert_eq!(next_step(&snapshot(&transcript)), complete);
    assert_eq!(next_step(&TurnSnapshot { draining: true, ..snapshot(&transcript) }), complete);
}

#[test]
fn an_interrupted_call_is_gone_on_with() {
    let transcript = [user(), reply([0])];
    let pending = pending(0);
    let after = |effect| {
        let interrupted = Some(&pending);
        next_step(&TurnSnapshot { interrupted, effect, ..snapshot(&transcript) })
    };
    for effect in [Effect::Read, Effect::Change] {
        assert_eq!(after(Some(effect)), Step::Resume(pending.clone()));
    }
    assert_eq!(after(None), Step::Settle(pending.clone()));
}

#[test]
fn replies_that_are_not_sent_any_more_count() {
    let transcript = [user(), reply([0]), result(0)];
    let after = |replies| next_step(&TurnSnapshot { replies, ..snapshot(&transcript) });
    assert_eq!((after(99), after(100)), (Step::Ask, Step::TooManySteps));
}

#[test]
fn a_turn_without_a_message_compacts() {
    let earlier = [user(), reply([])];
    let compacts = TurnSnapshot { compacts: true, ..snapshot(&earlier) };
    assert_eq!(next_step(&compacts), Step::Compact);
    assert_eq!(next_step(&TurnSnapshot { draining: true, ..compacts.clone() }), Step::HandOver);
    let stop = Some(Stop::Cancelled);
    assert_eq!(next_step(&TurnSnapshot { stop, ..compacts }), Step::Stop(Stop::Cancelled));
}

#[test]
fn the_model_replies_so_often_and_no_more() {
    let transcript = [user(), reply([0]), result(0)];
    let at = |max_steps| next_step(&TurnSnapshot { max_steps, ..snapshot(&transcript) });
    assert_eq!(at(2), Step::Ask);
    assert_eq!(at(1), Step::TooManySteps);
    let open = TurnSnapshot { max_steps: 1, ..snapshot(&transcript[..2]) };
    assert_eq!(next_step(&open), Step::Call(call(0)), "a committed reply's calls still run");
}

/// A turn as it may come from the database: any number of replies, each with its calls answered
/// up to some point of the last.
fn turns() -> impl Strategy<Value = Vec<Item>> {
    (prop::collection::vec(1_usize..4, 0..5), any::<prop::sample::Index>(), any::<bool>()).prop_map(
        |(replies, cut, answered)| {
            let mut items = vec![user()];
            let mut id = 0;
            for calls in replies {
                items.push(reply(id..id + calls));
                items.extend((id..id + calls).map(result));
                id += calls;
            }
            if answered {
                items.push(reply([]));
            }
            items.truncate(1 + cut.index(items.len()));
            items
        },
    )
}

proptest! {
    /// Running what is decided ends every turn, runs every call once, and never asks the model
    /// while a call is open.
    #[test]
    fn every_turn_ends(
        mut transcript in turns(),
        earlier in turns(),
        max_steps in 1_u32..6,
        more in prop::collection::vec(0_usize..3, 0..10),
    ) {
        let own = transcript.len();
        transcript.splice(0..0, earlier);
        let begin = transcript.len() - own;
        let mut more = more.into_iter();
        let mut fresh = 1000;
        loop {
            let step = next_step(&TurnSnapshot { max_steps, ..snapshot(&transcript) });
            match step {
                Step::Call(call) => {
                    prop_assert_eq!(unanswered(&transcript).first(), Some(&call));
                    transcript.push(result(call.id[1..].parse().unwrap()));
                }
                Step::Ask => {
                    prop_assert_eq!(unanswered(&transcript), []);
                    let calls = more.next().unwrap_or(0);
                    transcript.push(reply(fresh..fresh + calls));
                    fresh += calls;
                }
                Step::Complete { .. } | Step::TooManySteps => break,
                other => prop_assert!(false, "unasked for: {:?}", other),
            }
            prop_assert!(transcript.len() < 100, "it does not end");
        }
        let turn = &transcript[begin..];
        let asked: Vec<_> = turn.iter().filter_map(|item| match item {
            Item::Assistant { tool_calls, .. } => Some(tool_calls.iter().map(|call| &call.id)),
            _ => None,
        }).flatten().collect();
        let answered: Vec<_> = turn.iter().filter_map(|item| match item {
            Item::ToolResult { call_id, .. } => Some(call_id),
            _ => None,
        }).collect();
        prop_assert_eq!(asked, answered);
    }

    /// A draining worker starts nothing; a turn that must end goes nowhere else; and neither
    /// leaves an interrupted change unanswered.
    #[test]
    fn nothing_starts_once_asked_to_stop(
        transcript in turns(),
        stop in prop::option::of(prop_oneof![Just(Stop::Cancelled), Just(Stop::OutOfTime)]),
        draining: bool,
        effect in prop::option::of(prop_oneof![Just(Effect::Read), Just(Effect::Change)]),
        interrupted: bool,
    ) {
        let pending = unanswered(&transcript).first().filter(|_| interrupted).map(|call| {
            PendingCall::new(call.clone(), "m", "local")
        });
        let step = next_step(&TurnSnapshot {
            interrupted: pending.as_ref(),
            effect,
            stop,
            draining,
            ..snapshot(&transcript)
        });
        match (pending, effect) {
            (Some(_), _) if draining && stop.is_none() => prop_assert_eq!(step, Step::HandOver),
            (Some(pending), Some(Effect::Change)) => {
                prop_assert_eq!(step, Step::Resume(pending));
            }
            (Some(pending), None) => prop_assert_eq!(step, Step::Settle(pending)),
            (Some(pending), Some(Effect::Read)) if stop.is_none() => {
                prop_assert_eq!(step, Step::Resume(pending));
            }
            _ if stop.is_some() => prop_assert_eq!(Some(step), stop.map(Step::Stop)),
            _ if draining => {
                prop_assert!(matches!(step, Step::HandOver | Step::Complete { .. }), "{:?}", step);
            }
            _ => prop_assert!(!matches!(
                step,
                Step::Settle(_) | Step::Resume(_) | Step::Stop(_) | Step::HandOver
            )),
        }
    }
}
