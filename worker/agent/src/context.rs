//! What of a session is sent to its model.
//!
//! It is a pure function of the stored items and of the session's last compaction, and so it is
//! the same to the byte from one compaction to the next. Stored items are never changed.
//!
//! ```text
//! [summary] [note of what is left out] [message of a turn that lost its first steps] items ...
//! \------------- head: by the compaction ---------------------------------/ \-- as stored, or
//!                                                                            shortened
//! ```
//!
//! | Part | What it does |
//! |---|---|
//! | `load` | reads what is sent, and no more, from the end backwards |
//! | `estimate` | tokens, before the endpoint has counted them |
//! | `plan` | which compaction comes next: pure |
//! | `change` | what is sent after it: pure |
//! | `shorten` | a result as its head and tail |
//! | `digest` | items as the text that a summary is made of |

pub(crate) mod change;
pub(crate) mod digest;
pub(crate) mod estimate;
pub(crate) mod load;
pub(crate) mod plan;
pub(crate) mod shorten;

use evonic_domain::{ContextView, Item, ItemAddress};

/// What is known of an item that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) address: ItemAddress,
    pub(crate) kind: EntryKind,
    /// By [`estimate::item`], as it is sent.
    pub(crate) tokens: u64,
    /// What the endpoint counted for it and all before it, where it told and can be believed.
    pub(crate) counted: Option<Counted>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryKind {
    Message,
    Reply,
    /// Bytes of its content as it is sent.
    Result(u64),
}

/// Tokens as the endpoint counted them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) input: u64,
    pub(crate) output: u64,
}

/// What is sent of a session, without its content: that is the transcript beside it, whose first
/// items are the head.
#[derive(Clone, Debug, Default)]
pub(crate) struct Context {
    /// Position of the running turn.
    pub(crate) turn: u64,
    /// Whether it has no message, and compacts its session.
    pub(crate) compacts: bool,
    /// Replies of the running turn, whether they are sent or not.
    pub(crate) replies: u32,
    /// The number of the last compaction.
    pub(crate) number: u64,
    pub(crate) view: ContextView,
    /// Items of the transcript before the first entry.
    pub(crate) head: usize,
    /// [`estimate::item`] of the head.
    pub(crate) head_tokens: u64,
    pub(crate) entries: Vec<Entry>,
    /// The last item that would be sent and is not loaded, for there is no room.
    pub(crate) older: Option<Entry>,
}

/// Tokens of what is sent, before a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Estimate {
    pub(crate) total: u64,
    /// What the endpoint counts for [`estimate::UNSCALED`] of the estimate.
    pub(crate) scale: u64,
}

impl Context {
    /// Adds an item that the running turn has just stored.
    pub(crate) fn push(&mut self, item: &Item) {
        let last = self.entries.last().map(|entry| entry.address).max(self.view.through);
        let next = match last {
            Some(last) if last.turn == self.turn => last.item + 1,
            _ => 0,
        };
        let address = ItemAddress { turn: self.turn, item: next };
        if matches!(item, Item::Assistant { .. }) {
            self.replies += 1;
        }
        self.entries.push(entry(item, address, Trust::Yes));
    }

    /// The last item that is sent, or stands behind what is.
    pub(crate) fn last(&self) -> ItemAddress {
        let last = self.entries.last().map(|entry| entry.address).max(self.view.through);
        last.max(Some(self.view.at)).unwrap_or_default()
    }

    /// What of the transcript beside it is the running turn's own: its message first, where it has one.
    pub(crate) fn own_part<'t>(&self, transcript: &'t [Item]) -> &'t [Item] {
        let is_own = |entry: &Entry| entry.address.turn == self.turn;
        let first = self.entries.iter().position(is_own).unwrap_or(self.entries.len());
        transcript.get(self.head + first..).unwrap_or_default()
    }

    /// What is sent beside instructions and tools, as estimated.
    pub(crate) fn items_tokens(&self) -> u64 {
        self.head_tokens + self.entries.iter().map(|entry| entry.tokens).sum::<u64>()
    }

    /// Tokens of what is sent now; `fixed` are those of instructions and tools.
    pub(crate) fn estimate(&self, fixed: u64) -> Estimate {
        let whole = fixed + self.items_tokens();
        let counted = self.entries.iter().rposition(|entry| {
            entry.counted.is_some() && (self.number == 0 || entry.address > self.view.at)
        });
        let known = u64::from(self.view.scale.unwrap_or(1000));
        let Some((place, Counted { input, output })) =
            counted.and_then(|place| Some((place, self.entries[place].counted?)))
        else {
            return Estimate { total: estimate::scaled(whole, known), scale: known };
        };
        let sum = |entries: &[Entry]| entries.iter().map(|entry| entry.tokens).sum::<u64>();
        let before = fixed + self.head_tokens + sum(&self.entries[..place]);
        let scale = estimate::scale(input, before).unwrap_or(known);
        let after = estimate::scaled(sum(&self.entries[place + 1..]), scale);
        let total = input.saturating_add(output).saturating_add(after);
        Estimate { total: total.max(estimate::least(whole)), scale }
    }
}

impl Context {
    /// The endpoint counted what was sent last, and refused it: earlier counts do not hold.
    pub(crate) fn correct(&mut self, counted: Option<u64>, fixed: u64) {
        let scale = self.estimate(fixed).scale;
        for entry in &mut self.entries {
            entry.counted = None;
        }
        let told =
            counted.and_then(|counted| estimate::scale(counted, fixed + self.items_tokens()));
        let scale = told.map_or(scale, |told| told.max(scale));
        self.view.scale = Some(u32::try_from(scale).unwrap_or(u32::MAX));
    }
}

impl Context {
    /// The endpoint counted what would be sent now.
    pub(crate) fn count(&mut self, tokens: u64, fixed: u64) {
        let Some(scale) = estimate::scale(tokens, fixed + self.items_tokens()) else { return };
        for entry in &mut self.entries {
            entry.counted = None;
        }
        self.view.scale = Some(u32::try_from(scale).unwrap_or(u32::MAX));
    }
}

/// Whether what the endpoint counted was of the agent as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    Yes,
    No,
}

/// What is known of an item as it is sent.
pub(crate) fn entry(item: &Item, address: ItemAddress, trust: Trust) -> Entry {
    let (kind, counted) = match item {
        Item::ToolResult { content, .. } => (EntryKind::Result(content.len() as u64), None),
        Item::Assistant { usage, .. } => {
            let counted = Counted { input: usage.input_tokens, output: usage.output_tokens };
            (EntryKind::Reply, (trust == Trust::Yes && counted.input > 0).then_some(counted))
        }
        Item::User { .. } | Item::Summary { .. } | Item::LeftOut { .. } => {
            (EntryKind::Message, None)
        }
    };
    Entry { address, kind, tokens: estimate::item(item), counted }
}

#[cfg(test)]
mod tests;
