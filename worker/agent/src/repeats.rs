//! The loop guard: calls that a turn makes again and again, with the same result. Pure, over the
//! transcript of the turn, so that a takeover changes nothing.
//!
//! What counts is a call of the same tool, with the same arguments as the model wrote them and the
//! same result, once for each reply that asked for it. Two counts are kept: **in a row**, since the
//! turn last saw a call or a result that was new to it, which finds A, A, A as well as A, B, A, B;
//! and **in all**, which finds what is hidden between new calls, and may be four times as high.

use std::collections::HashSet;

use evonic_domain::{Item, Outcome, ToolCall};

/// From this repetition on the model is told.
const TOLD_FROM: u32 = 3;
/// How much more often a call may be made when there is something new in between.
const NEWS_FACTOR: u32 = 4;
/// What the note begins with, by which it is known again.
const NOTE: &str = "\n[repeated call: ";

/// How often a call was made with its result, this time counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Repeats {
    in_row: u32,
    in_all: u32,
}

/// A call with its result.
type Seen<'a> = (&'a str, &'a str, Outcome, &'a str);

/// Counts a call that ended with this content: `turn` is what the turn has so far, from its message
/// on, with the reply that asks for the call.
pub(super) fn count<'a>(
    turn: impl IntoIterator<Item = &'a Item>,
    call: &'a ToolCall,
    outcome: Outcome,
    content: &'a str,
) -> Repeats {
    let now: Seen<'_> = (&call.name, &call.arguments, outcome, without_note(content));
    let mut asked: &[ToolCall] = &[];
    let mut next = 0;
    let mut known = HashSet::new();
    let mut repeats = Repeats { in_row: 0, in_all: 0 };
    // Whether this reply is counted already.
    let mut counted = false;
    for item in turn {
        match item {
            Item::Assistant { tool_calls, .. } => {
                (asked, next, counted) = (tool_calls, 0, false);
            }
            Item::ToolResult { outcome, content, .. } => {
                let Some(call) = asked.get(next) else { continue };
                next += 1;
                let seen: Seen<'_> = (&call.name, &call.arguments, *outcome, without_note(content));
                if known.insert(seen) {
                    repeats.in_row = 0;
                }
                if seen == now && !counted {
                    counted = true;
                    repeats = Repeats { in_row: repeats.in_row + 1, in_all: repeats.in_all + 1 };
                }
            }
            Item::User { .. } | Item::Summary { .. } | Item::LeftOut { .. } => {}
        }
    }
    if !known.contains(&now) {
        return Repeats { in_row: 1, in_all: 1 };
    }
    let more = u32::from(!counted);
    Repeats { in_row: repeats.in_row + more, in_all: repeats.in_all + more }
}

impl Repeats {
    /// What the model is told after the result, if anything.
    pub(super) fn note(self) -> Option<String> {
        let times = self.in_all;
        (times >= TOLD_FROM).then(|| {
            format!(
                "{NOTE}it has been made {times} times in this turn, with the same arguments and the \
                 same result. Do something else, or answer.]"
            )
        })
    }

    /// Whether the turn is to end, where a call may be made `most` times.
    pub(super) const fn are_too_many(self, most: u32) -> bool {
        self.in_row >= most || self.in_all >= most.saturating_mul(NEWS_FACTOR)
    }

    pub(super) const fn times(self) -> u32 {
        self.in_all
    }
}

/// A result's content as the tool made it.
fn without_note(content: &str) -> &str {
    match content.rfind(NOTE) {
        Some(at) if content.ends_with("or answer.]") => &content[..at],
        _ => content,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn call(name: &str) -> ToolCall {
        ToolCall { id: "c".to_owned(), name: name.to_owned(), arguments: "{}".to_owned() }
    }

    /// A turn in which each reply asks for these calls; a name with a digit has another result.
    fn turn(replies: &[&[&str]]) -> Vec<Item> {
        let mut items = vec![Item::user("go")];
        for calls in replies {
            let tool_calls = calls.iter().map(|name| call(&name[..1])).collect();
            items.push(Item::assistant("", tool_calls));
            items.extend(calls.iter().map(|name| Item::ToolResult {
                call_id: "c".to_owned(),
                name: name[..1].to_owned(),
                outcome: Outcome::Ok,
                content: (*name).to_owned(),
            }));
        }
        items
    }

    /// Counts the last call, whose result is not there yet.
    fn counted(replies: &[&[&str]]) -> (u32, u32) {
        let mut items = turn(replies);
        let Some(Item::ToolResult { name, content, .. }) = items.pop() else { panic!("no result") };
        let Repeats { in_row, in_all } = count(&items, &call(&name), Outcome::Ok, &content);
        (in_row, in_all)
    }

    #[test]
    fn the_same_call_with_the_same_result_is_counted() {
        assert_eq!(counted(&[&["a"]]), (1, 1));
        assert_eq!(counted(&[&["a"], &["a"], &["a"]]), (3, 3));
        assert_eq!(counted(&[&["a"], &["a1"], &["a2"]]), (1, 1), "each has another result");
        assert_eq!(counted(&[&["b"], &["a", "a", "a"]]), (1, 1), "one reply is one time");
    }

    #[test]
    fn two_that_alternate_are_a_row() {
        let round: [&[&str]; 2] = [&["a"], &["b"]];
        assert_eq!(counted(&round.repeat(5)), (5, 5));
    }

    #[test]
    fn what_is_new_begins_the_row_anew() {
        let calls: [&[&str]; 6] = [&["a"], &["a"], &["a"], &["b"], &["a"], &["a"]];
        assert_eq!(counted(&calls), (2, 5));
    }

    #[test]
    fn a_note_is_no_difference() {
        let note = Repeats { in_row: 3, in_all: 3 }.note().expect("it is told");
        assert_eq!(without_note(&format!("text{note}")), "text");
        let mut items = turn(&[&["a"], &["a"], &["a"], &["a"]]);
        let Some(Item::ToolResult { content, .. }) = items.get_mut(6) else { panic!("a result") };
        content.push_str(&note);
        items.pop();
        assert_eq!(count(&items, &call("a"), Outcome::Ok, "a").times(), 4);
    }

    #[test]
    fn an_end_comes_after_most_in_a_row_or_four_times_as_many_in_all() {
        let repeats = |in_row, in_all| Repeats { in_row, in_all };
        assert!(!repeats(7, 31).are_too_many(8));
        assert!(repeats(8, 8).are_too_many(8));
        assert!(repeats(1, 32).are_too_many(8));
        assert_eq!(repeats(1, 2).note(), None);
    }

    proptest! {
        #[test]
        fn whoever_continues_counts_the_same(names in prop::collection::vec("[ab][12]?", 1..40)) {
            let replies: Vec<Vec<&str>> = names.iter().map(|name| vec![name.as_str()]).collect();
            let replies: Vec<&[&str]> = replies.iter().map(Vec::as_slice).collect();
            let (in_row, in_all) = counted(&replies);
            let last = names.last().expect("there is one");
            let same = names.iter().filter(|name| *name == last).count();
            prop_assert_eq!(in_all as usize, same);
            prop_assert!(in_row >= 1 && in_row <= in_all);
        }
    }
}
