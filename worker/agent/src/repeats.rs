//! The loop guard: calls that a turn makes again and again, with the same result. What it knows is made
//! of the turn's stored items, so that neither a takeover nor a compaction changes anything. Of a
//! call and its result it keeps a hash.
//!
//! What counts is a call of the same tool, with the same arguments as the model wrote them and the
//! same result, once for each reply that asked for it. Two counts are kept: **in a row**, since the
//! turn last saw a call or a result that was new to it, which finds A, A, A as well as A, B, A, B;
//! and **in all**, which finds what is hidden between new calls, and may be four times as high.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    hash::{DefaultHasher, Hash, Hasher},
};

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

/// What a turn has called so far, and what came of it.
#[derive(Debug, Default)]
pub(super) struct LoopGuard {
    /// By the hash of a call with its result.
    known: HashMap<u64, Known>,
    /// How often something was new.
    news: u64,
    replies: u64,
    /// Calls of the last stored reply whose result was not taken yet.
    open: VecDeque<ToolCall>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    repeats: Repeats,
    /// [`LoopGuard::news`] and [`LoopGuard::replies`] when it was counted last.
    news: u64,
    reply: u64,
}

impl LoopGuard {
    /// Takes the turn's next stored item: a reply, or the result of its next call.
    pub(super) fn take(&mut self, item: &Item) {
        match item {
            Item::Assistant { tool_calls, .. } => {
                self.replied();
                self.open = tool_calls.iter().cloned().collect();
            }
            Item::ToolResult { outcome, content, .. } => {
                if let Some(call) = self.open.pop_front() {
                    self.count(&call, *outcome, content);
                }
            }
            Item::User { .. } | Item::Summary { .. } | Item::LeftOut { .. } => {}
        }
    }

    /// A new reply asks for calls.
    pub(super) const fn replied(&mut self) {
        self.replies += 1;
    }

    /// Counts a call of the last reply that ended with this content.
    pub(super) fn count(&mut self, call: &ToolCall, outcome: Outcome, content: &str) -> Repeats {
        let mut hasher = DefaultHasher::new();
        (&call.name, &call.arguments, outcome.name(), without_note(content)).hash(&mut hasher);
        match self.known.entry(hasher.finish()) {
            Entry::Vacant(new) => {
                self.news += 1;
                let repeats = Repeats { in_row: 1, in_all: 1 };
                new.insert(Known { repeats, news: self.news, reply: self.replies });
                repeats
            }
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                if known.news != self.news {
                    (known.repeats.in_row, known.news) = (0, self.news);
                }
                if known.reply != self.replies {
                    let Repeats { in_row, in_all } = known.repeats;
                    known.repeats = Repeats { in_row: in_row + 1, in_all: in_all + 1 };
                    known.reply = self.replies;
                }
                known.repeats
            }
        }
    }
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

    /// A guard of these items.
    fn guard(items: &[Item]) -> LoopGuard {
        let mut guard = LoopGuard::default();
        items.iter().for_each(|item| guard.take(item));
        guard
    }

    /// Counts the last call, whose result is not there yet.
    fn counted(replies: &[&[&str]]) -> (u32, u32) {
        let mut items = turn(replies);
        let Some(Item::ToolResult { name, content, .. }) = items.pop() else { panic!("no result") };
        let Repeats { in_row, in_all } = guard(&items).count(&call(&name), Outcome::Ok, &content);
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
        assert_eq!(guard(&items).count(&call("a"), Outcome::Ok, "a").times(), 4);
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
            // One who has counted all along counts the same.
            let mut along = LoopGuard::default();
            let mut now = None;
            for name in &names {
                along.replied();
                now = Some(along.count(&call(&name[..1]), Outcome::Ok, name));
            }
            prop_assert_eq!(now, Some(Repeats { in_row, in_all }));
        }
    }
}
