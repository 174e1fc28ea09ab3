//! Random sessions, as their model sees them.

use proptest::prelude::*;

use super::{
    Context, Estimate, change, estimate,
    load::{Found, Loading},
    plan::{Aim, DroppedSummary, Next, Situation, Steps, Summaries},
    shorten::Pointer,
};
use evonic_domain::{
    ContextView, Item, ItemAddress, Outcome, SessionId, Shortened, ToolCall, Usage,
};
use evonic_store::{SessionItem, TurnPlace};

/// A step of a turn: bytes of its text, and of the results of its calls.
type StepSizes = (usize, Vec<usize>);

/// A session whose items are in memory, and its last compaction.
struct Session {
    items: Vec<(ItemAddress, Item)>,
    view: ContextView,
    number: u64,
    most: u64,
    compactions: Vec<Next>,
}

impl Session {
    fn new(most: u64) -> Self {
        let (items, view) = (Vec::new(), ContextView::default());
        Self { items, view, number: 0, most, compactions: Vec::new() }
    }

    fn add(&mut self, turn: u64, item: Item) {
        let last = self.items.last().map(|(address, _)| *address);
        let item_number = last.filter(|last| last.turn == turn).map_or(0, |last| last.item + 1);
        self.items.push((ItemAddress { turn, item: item_number }, item));
    }

    fn load(&self, view: &ContextView, turn: u64) -> (Context, Vec<Item>) {
        let loading = Loading {
            session: SessionId::new(),
            place: TurnPlace { position: turn, compacts: false, steps: 0 },
            most: self.most,
            pointer: Pointer::ReadFile,
            agent_changed: String::new(),
        };
        let mut found = Found::default();
        for (address, item) in self.items.iter().rev() {
            let bytes = serde_json::to_string(item).unwrap().len() as u64;
            let stored = SessionItem {
                address: *address,
                item: item.clone(),
                bytes,
                started_at: String::new(),
            };
            if Some(*address) <= view.through || loading.take(stored, view, &mut found).is_break() {
                break;
            }
        }
        let message = view.message.map(|address| {
            let message = self.items.iter().find(|(is, _)| *is == address);
            message.cloned().expect("a message that is kept is stored")
        });
        loading.assemble(self.number, view.clone(), message, found)
    }

    /// Compacts until it fits; what is sent then, or nothing where it cannot.
    fn fit(&mut self, turn: u64, room: &Room) -> Option<(Estimate, Vec<Item>)> {
        let mut aim = Aim::Fit;
        for _round in 0..100 {
            let (context, items) = self.load(&self.view, turn);
            let estimate = context.estimate(room.fixed);
            let situation = room.situation(&context, estimate, aim);
            let next = situation.next();
            aim = Aim::Target;
            let view = ContextView {
                at: context.last(),
                scale: Some(u32::try_from(estimate.scale).unwrap()),
                ..self.view.clone()
            };
            let first_after = |after| {
                let later = self.items.iter().find(|(address, _)| Some(*address) > after);
                later.expect("an item").0
            };
            let view = match next.clone() {
                Next::Fits => return Some((estimate, items)),
                Next::CannotFit => return None,
                Next::Shorten { shortened, .. } => ContextView { shortened, ..view },
                Next::LeaveOut { through, message, summary } => {
                    assert!(
                        self.view.through < Some(through) || summary == DroppedSummary::Dropped
                    );
                    let first = first_after(view.through);
                    change::leave_out(view, first, through, message, summary).1
                }
                Next::Summarise { end } => {
                    let through = context.entries[end - 1].address;
                    assert!(self.view.through < Some(through));
                    let text = "It was said. ".repeat(usize::try_from(room.summary / 5).unwrap());
                    let message = situation.message_behind(end);
                    change::summarise(view, first_after(None), through, message, text).1
                }
            };
            self.compactions.push(next);
            (self.view, self.number) = (view, self.number + 1);
        }
        panic!("no end of compactions: {:#?}", self.compactions);
    }
}

/// What there is room for.
#[derive(Clone, Copy, Debug)]
struct Room {
    limit: u64,
    fixed: u64,
    summary: u64,
    summaries: Summaries,
}

impl Room {
    fn situation<'c>(&self, context: &'c Context, estimate: Estimate, aim: Aim) -> Situation<'c> {
        let fixed = estimate::scaled(self.fixed, estimate.scale);
        Situation {
            entries: &context.entries,
            view: &context.view,
            turn: context.turn,
            scale: estimate.scale,
            fixed,
            head: estimate::scaled(context.head_tokens, estimate.scale),
            total: estimate.total,
            limit: self.limit,
            target: fixed + self.limit.saturating_sub(fixed) * 3 / 5,
            reserve: self.summary + 100,
            older: context.older,
            aim,
            summaries: self.summaries,
            steps: Steps::Droppable,
        }
    }
}

/// What every endpoint asks of what it is sent.
fn check(items: &[Item], message: &str) {
    let mut open: Vec<&str> = Vec::new();
    for item in items {
        match item {
            Item::Assistant { tool_calls, .. } => {
                assert!(open.is_empty(), "a call without its result: {open:?}");
                open.extend(tool_calls.iter().map(|call| call.id.as_str()));
            }
            Item::ToolResult { call_id, .. } => {
                let place = open.iter().position(|open| open == call_id);
                let _call = open.remove(place.expect("a result without its call"));
            }
            Item::User { .. } | Item::Summary { .. } | Item::LeftOut { .. } => {
                assert!(open.is_empty(), "a call without its result: {open:?}");
            }
        }
    }
    assert!(open.is_empty(), "a call without its result: {open:?}");
    let last = items.iter().rfind(|item| matches!(item, Item::User { .. }));
    assert!(matches!(last, Some(Item::User { text, .. }) if text == message), "{last:?}");
}

fn call(id: String) -> ToolCall {
    ToolCall { id, name: "bash".to_owned(), arguments: "{\"command\":\"ls\"}".to_owned() }
}

fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0..200_usize, 2 => 200..3000_usize, 1 => 3000..20_000_usize]
}

fn histories() -> impl Strategy<Value = Vec<(usize, Vec<StepSizes>)>> {
    let step = (0..300_usize, prop::collection::vec(sizes(), 0..4));
    prop::collection::vec((1..2000_usize, prop::collection::vec(step, 0..8)), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Before every call of every turn of a random session: what is sent is valid and fits, begins
    /// as what was sent before unless there was a compaction, and does not fit only where
    /// instructions, tools and the message alone do not.
    #[test]
    fn what_is_sent_is_valid_fits_and_begins_as_before(
        history in histories(),
        limit in 1200..20_000_u64,
        fixed in 0..600_u64,
        most in prop_oneof![Just(u64::MAX), 2000..200_000_u64],
        summaries in prop_oneof![Just(Summaries::Made), Just(Summaries::None)],
        reports in any::<bool>(),
    ) {
        let room = Room { limit, fixed, summary: (limit / 8).clamp(64, 1500), summaries };
        let mut session = Session::new(most);
        let mut before: Option<(u64, Vec<Item>)> = None;
        for (turn, (message_bytes, steps)) in (1_u64..).zip(history) {
            let message = format!("{turn}{}", "m".repeat(message_bytes));
            session.add(turn, Item::user(&message));
            for (number, (text_bytes, results)) in steps.into_iter().enumerate() {
                let Some((estimate, items)) = session.fit(turn, &room) else {
                    // A note of what is left out stands beside it.
                    let alone = fixed + estimate::item(&Item::user(&message)) + 48;
                    let alone = estimate::scaled(alone, estimate::UNSCALED * 4);
                    prop_assert!(alone > limit, "{alone} of {limit} do not fit");
                    return Ok(());
                };
                prop_assert!(estimate.total <= limit);
                check(&items, &message);
                if let Some((number, before)) = &before
                    && *number == session.number
                {
                    prop_assert!(items.starts_with(before), "another beginning");
                }
                let counted = (fixed + items.iter().map(estimate::item).sum::<u64>()) * 13 / 10;
                before = Some((session.number, items));
                let calls: Vec<_> =
                    (0..results.len()).map(|index| call(format!("c{number}-{index}"))).collect();
                let input_tokens = if reports { counted } else { 0 };
                let usage = Usage { input_tokens, output_tokens: 20, ..Usage::default() };
                let text = "t".repeat(text_bytes);
                session.add(turn, Item::Assistant { text, tool_calls: calls.clone(), usage, model: String::new(), cost: 0, carried: None });
                for (call, bytes) in calls.into_iter().zip(results) {
                    let content = "r".repeat(bytes);
                    let (call_id, name, outcome) = (call.id, call.name, Outcome::Ok);
                    session.add(turn, Item::ToolResult { call_id, name, outcome, content });
                }
            }
        }
    }
}

/// A session of many short turns compacts now and then, not at every turn.
#[test]
fn compactions_are_rare() {
    let room = Room { limit: 2000, fixed: 300, summary: 250, summaries: Summaries::Made };
    let mut session = Session::new(u64::MAX);
    for turn in 1..=300 {
        session.add(turn, Item::user("word ".repeat(20)));
        assert!(session.fit(turn, &room).is_some());
        session.add(turn, Item::assistant("word ".repeat(20), Vec::new()));
    }
    let count = session.compactions.len();
    assert!((10..=60).contains(&count), "{count} compactions in 300 turns");
    assert!(session.compactions.iter().all(|next| matches!(next, Next::Summarise { .. })));
}

/// The first step of a session that was never compacted reads no more than there is room for.
#[test]
fn what_there_is_no_room_to_load_is_left_out() {
    let room = Room { limit: 100_000, fixed: 300, summary: 250, summaries: Summaries::Made };
    let mut session = Session::new(10_000);
    for turn in 1..=500 {
        session.add(turn, Item::user("word ".repeat(100)));
        session.add(turn, Item::assistant("word ".repeat(100), Vec::new()));
    }
    session.add(501, Item::user("and now?"));
    let (_, items) = session.fit(501, &room).expect("it fits");
    assert!(
        matches!(&session.compactions[..], [Next::LeaveOut { .. }]),
        "{:?}",
        session.compactions
    );
    assert!(
        matches!(&items[0], Item::LeftOut { range } if range.first == ItemAddress { turn: 1, item: 0 })
    );
    check(&items, "and now?");
    assert!(items.len() < 20, "{} items", items.len());
}

/// One result that is larger than the window costs its middle, and not the conversation.
#[test]
fn a_huge_result_is_shortened_before_turns_are_dropped() {
    let room = Room { limit: 2000, fixed: 300, summary: 250, summaries: Summaries::Made };
    let mut session = Session::new(u64::MAX);
    session.add(1, Item::user("remember 4711"));
    session.add(1, Item::assistant("yes", Vec::new()));
    session.add(2, Item::user("look"));
    session.add(2, Item::assistant("", vec![call("c".to_owned())]));
    let content = "line\n".repeat(20_000);
    let (call_id, name) = ("c".to_owned(), "bash".to_owned());
    session.add(2, Item::ToolResult { call_id, name, outcome: Outcome::Ok, content });
    let (_, items) = session.fit(2, &room).expect("it fits");
    assert!(session.compactions.iter().all(|next| matches!(next, Next::Shorten { .. })));
    assert!(matches!(&items[0], Item::User { text, .. } if text == "remember 4711"));
    let Some(Item::ToolResult { content, .. }) = items.last() else { panic!("{items:?}") };
    assert!(content.contains("the whole: read_file evonic:item/2.2]"), "{content}");
}

/// However often results were shortened to other sizes, a session keeps a few bounds, and of those
/// none that stands for nothing any more.
#[test]
fn the_bounds_of_results_do_not_grow_without_end() {
    let room = Room { limit: 36_000, fixed: 300, summary: 250, summaries: Summaries::Made };
    let mut session = Session::new(u64::MAX);
    session.add(1, Item::user("look"));
    session.add(1, Item::assistant("", vec![call("c".to_owned())]));
    let (call_id, name, content) = ("c".to_owned(), "bash".to_owned(), "r".repeat(400_000));
    session.add(1, Item::ToolResult { call_id, name, outcome: Outcome::Ok, content });
    session.add(2, Item::user("go on"));
    let bounds = (0..200).map(|item| Shortened {
        through: ItemAddress { turn: 0, item },
        bytes: 200 + u64::from(item),
    });
    session.view.shortened = bounds.collect();
    let (context, _) = session.load(&session.view, 2);
    let estimate = context.estimate(room.fixed);
    let next = room.situation(&context, estimate, Aim::Fit).next();
    let Next::Shorten { shortened, .. } = next else { panic!("{next:?}") };
    assert_eq!(shortened.len(), super::plan::BOUNDS);
    assert_eq!(shortened[0].bytes, 200, "what is shorter already stays so");
    assert!(shortened.windows(2).all(|two| two[0].through < two[1].through));
    let through = ItemAddress { turn: 0, item: 199 };
    let first = ItemAddress { turn: 0, item: 0 };
    let view = ContextView { shortened, ..ContextView::default() };
    let (_, left) = change::leave_out(view.clone(), first, through, None, DroppedSummary::Kept);
    let (_, summarised) = change::summarise(view, first, through, None, "text".to_owned());
    for view in [left, summarised] {
        assert_eq!(view.shortened.len(), 1, "{:?}", view.shortened);
    }
}

/// Notes that were left out, with the replies that they were about, make no other turn's message the
/// own one.
#[test]
fn the_own_part_is_known_by_its_address() {
    let mut session = Session::new(u64::MAX);
    for item in [Item::user("before"), Item::assistant("yes", Vec::new())] {
        session.add(1, item);
    }
    for item in [
        Item::user("own"),
        Item::assistant("seven", Vec::new()),
        Item::user("note"),
        Item::assistant("7?", Vec::new()),
        Item::user("second note"),
    ] {
        session.add(2, item);
    }
    let (context, items) = session.load(&session.view, 2);
    assert_eq!(context.own_part(&items), &items[2..]);
    let view = ContextView {
        through: Some(ItemAddress { turn: 2, item: 3 }),
        message: Some(ItemAddress { turn: 2, item: 0 }),
        ..ContextView::default()
    };
    let (context, items) = session.load(&view, 2);
    assert_eq!(context.own_part(&items), [Item::user("own"), Item::user("second note")]);
}
