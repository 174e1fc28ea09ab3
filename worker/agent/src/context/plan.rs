//! Which compaction comes next: a pure function of what would be sent and of what there is room for.
//!
//! ```text
//! old results are long ------------> Shorten
//! the last step's are too large ---> Shorten, so that the rest has room
//! the oldest turns, and steps of the running one -> Summarise, or LeaveOut
//! the summary itself is too large -> LeaveOut
//! the last step still is ----------> LeaveOut
//! only instructions, tools and the last message are left -> CannotFit
//! ```
//!
//! What is dropped are whole turns, and of the running turn whole steps: never its message, never a
//! call without its result.

use super::{Entry, EntryKind, shorten::SLACK};
use evonic_domain::{ContextView, ItemAddress, ItemRange, Shortened};

/// The least that a result is shortened to.
const LEAST_BYTES: u64 = 200;
/// What an old result is shortened to, at the least and at the most.
const OLD_BYTES: std::ops::RangeInclusive<u64> = 400..=4000;

/// The most bounds that results of a session have been shortened to.
pub(super) const BOUNDS: usize = 64;

/// What would be sent, in tokens of the endpoint, and what there is room for.
#[derive(Clone, Debug)]
pub(crate) struct Situation<'a> {
    pub(crate) entries: &'a [Entry],
    pub(crate) view: &'a ContextView,
    /// Position of the running turn.
    pub(crate) turn: u64,
    /// What the endpoint counts for a thousand tokens of an entry.
    pub(crate) scale: u64,
    /// Of instructions and tools.
    pub(crate) fixed: u64,
    /// Of what stands for earlier items.
    pub(crate) head: u64,
    /// Of all.
    pub(crate) total: u64,
    /// The most that is sent.
    pub(crate) limit: u64,
    /// What is sent after a compaction, if it can be.
    pub(crate) target: u64,
    /// The most that a summary takes.
    pub(crate) reserve: u64,
    /// The last item that would be sent and is not loaded.
    pub(crate) older: Option<Entry>,
    pub(crate) aim: Aim,
    pub(crate) summaries: Summaries,
    pub(crate) steps: Steps,
}

/// When what is sent is small enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    /// When it fits.
    Fit,
    /// When it is at the target: a compaction is under way.
    Target,
    /// When nothing but the last turn is left to be sent: somebody asked for it.
    LastTurn,
}

/// Whether what is dropped can be summarised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Summaries {
    Made,
    None,
}

/// Whether steps of the running turn may be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Steps {
    Droppable,
    /// The model knows from them how far it has come.
    Needed,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The model is asked.
    Fits,
    Shorten {
        range: ItemRange,
        shortened: Vec<Shortened>,
    },
    /// A summary, or several one after the other, of the entries before `end`.
    Summarise {
        end: usize,
    },
    /// Items up to and with this one, and where said also the summary of those before.
    LeaveOut {
        through: ItemAddress,
        message: Option<ItemAddress>,
        summary: DroppedSummary,
    },
    /// Instructions, tools and the last message alone are too large.
    CannotFit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DroppedSummary {
    Kept,
    Dropped,
}

impl Situation<'_> {
    /// The next step.
    pub(crate) fn next(&self) -> Next {
        if self.older.is_none() && self.is_enough() {
            return Next::Fits;
        }
        if let Some(shorten) = self.shorten_old() {
            return shorten;
        }
        if let Some(older) = self.older {
            return self.leave_out_older(older.address);
        }
        if self.aim != Aim::LastTurn
            && let Some(shorten) = self.shorten_last(self.target)
        {
            return shorten;
        }
        if let Some(end) = self.cut()
            && (self.aim != Aim::LastTurn || self.summaries == Summaries::Made)
        {
            return self.drop_before(end);
        }
        if self.aim == Aim::LastTurn || self.total <= self.limit {
            return Next::Fits;
        }
        self.drop_last_resorts()
    }

    fn is_enough(&self) -> bool {
        match self.aim {
            Aim::Fit => self.total <= self.limit,
            Aim::Target => self.total <= self.target,
            Aim::LastTurn => false,
        }
    }

    fn cost(&self, entries: &[Entry]) -> u64 {
        let tokens = entries.iter().map(|entry| entry.tokens).sum();
        super::estimate::scaled(tokens, self.scale)
    }

    /// Where the last step of the running turn begins; the end where it has none.
    fn last_step(&self) -> usize {
        let is_own_reply =
            |entry: &Entry| entry.kind == EntryKind::Reply && entry.address.turn == self.turn;
        self.entries.iter().rposition(is_own_reply).unwrap_or(self.entries.len())
    }

    /// The message that the running turn answers, while it is sent.
    fn message(&self) -> Option<&Entry> {
        let own =
            |entry: &&Entry| entry.kind == EntryKind::Message && entry.address.turn == self.turn;
        self.entries.iter().find(own)
    }

    /// Results before the last step, as their heads and tails.
    fn shorten_old(&self) -> Option<Next> {
        let bytes = (self.limit / 9).clamp(*OLD_BYTES.start(), *OLD_BYTES.end());
        // Once a long result that is not loaded is shortened, there may be room for it.
        if let Some(Entry { address, kind: EntryKind::Result(is), .. }) = self.older
            && is > bytes + SLACK
        {
            return Some(self.shorten_through(ItemRange { first: address, last: address }, bytes));
        }
        self.shorten(&self.entries[..self.last_step()], bytes)
    }

    /// The last step's results, where they leave no room for anything else.
    fn shorten_last(&self, most: u64) -> Option<Next> {
        let step = &self.entries[self.last_step()..];
        let message = self.message().map_or(0, |message| self.cost(&[*message]));
        let alone = self.fixed + message + self.cost(step);
        let results = step.iter().filter_map(|entry| match entry.kind {
            EntryKind::Result(bytes) => Some((bytes, entry.tokens)),
            EntryKind::Message | EntryKind::Reply => None,
        });
        let (largest, tokens) = results.clone().max()?;
        if alone <= most || largest <= LEAST_BYTES + SLACK {
            return None;
        }
        let others: u64 = results.clone().map(|(_, tokens)| tokens).sum();
        let room = most.saturating_sub(alone.saturating_sub(self.scaled(others))) / 2;
        let each = room / results.count().max(1) as u64;
        let fair = u128::from(largest) * u128::from(each) / u128::from(self.scaled(tokens).max(1));
        let fair = u64::try_from(fair).unwrap_or(u64::MAX);
        let bytes = fair.min((largest - SLACK) * 3 / 4).max(LEAST_BYTES);
        self.shorten(step, bytes)
    }

    fn scaled(&self, tokens: u64) -> u64 {
        super::estimate::scaled(tokens, self.scale)
    }

    /// Shortens what is among these to so many bytes; nothing where none is longer.
    fn shorten(&self, entries: &[Entry], bytes: u64) -> Option<Next> {
        let long =
            |entry: &&Entry| matches!(entry.kind, EntryKind::Result(is) if is > bytes + SLACK);
        let first = entries.iter().find(long)?.address;
        let last = entries.iter().rfind(long)?.address;
        Some(self.shorten_through(ItemRange { first, last }, bytes))
    }

    fn shorten_through(&self, range: ItemRange, bytes: u64) -> Next {
        let last = range.last;
        // What is shorter already stays so, to the byte.
        let stays = |is: &&Shortened| is.through > last || (is.through < last && is.bytes < bytes);
        let mut shortened: Vec<_> = self.view.shortened.iter().filter(stays).copied().collect();
        let place = shortened.partition_point(|is| is.through < last);
        shortened.insert(place, Shortened { through: last, bytes });
        // Of too many bounds the oldest, which is the smallest, takes the place of the next.
        while shortened.len() > BOUNDS {
            let oldest = shortened.remove(0);
            shortened[0].bytes = shortened[0].bytes.min(oldest.bytes);
        }
        Next::Shorten { range, shortened }
    }

    /// Places before which everything may be dropped: ends of turns before the running one, and
    /// of its steps but the last.
    fn ends(&self) -> impl DoubleEndedIterator<Item = usize> + '_ {
        let last_step = self.last_step();
        (1..=self.entries.len()).filter(move |&end| {
            let before = self.entries[end - 1];
            let after = self.entries.get(end);
            if before.address.turn != self.turn {
                return after.is_none_or(|after| after.address.turn != before.address.turn);
            }
            let own = before.kind != EntryKind::Message && end <= last_step;
            own && self.steps == Steps::Droppable
                && after.is_some_and(|after| after.kind == EntryKind::Reply)
        })
    }

    /// The first place at which dropping everything before leaves no more than the target; the
    /// last one where none does.
    fn cut(&self) -> Option<usize> {
        if self.aim == Aim::LastTurn {
            let last = self.entries.last()?.address.turn;
            return self.ends().rfind(|&end| self.entries[end - 1].address.turn < last);
        }
        let enough = |&end: &usize| {
            let within = self.entries[end - 1].address.turn == self.turn;
            let message =
                self.message().filter(|_| within).map_or(0, |message| self.cost(&[*message]));
            let head = self.reserve.min(self.head + self.cost(&self.entries[..end]));
            self.fixed + head + message + self.cost(&self.entries[end..]) <= self.target
        };
        let found = self.ends().find(enough);
        found.or_else(|| self.ends().next_back())
    }

    fn drop_before(&self, end: usize) -> Next {
        let dropped = self.cost(&self.entries[..end]) + self.head;
        // A summary that is as long as what it stands for helps nobody but who asks for one.
        let is_worth_it = self.aim == Aim::LastTurn || dropped > self.reserve;
        if self.summaries == Summaries::Made && is_worth_it {
            return Next::Summarise { end };
        }
        Next::LeaveOut {
            through: self.entries[end - 1].address,
            message: self.message_behind(end),
            summary: DroppedSummary::Kept,
        }
    }

    /// The running turn's message, where steps of the turn are dropped before `end`.
    pub(crate) fn message_behind(&self, end: usize) -> Option<ItemAddress> {
        let within = self.entries[end - 1].address.turn == self.turn;
        within.then_some(ItemAddress { turn: self.turn, item: 0 })
    }

    /// What is not loaded, and the rest of the turn or step that it ends in.
    fn leave_out_older(&self, older: ItemAddress) -> Next {
        let continues = |entry: &Entry| {
            entry.address.turn == older.turn
                && (entry.address.turn != self.turn || matches!(entry.kind, EntryKind::Result(_)))
        };
        // A message that is kept stands before it.
        let after = self.entries.iter().filter(|entry| entry.address > older);
        let rest = after.take_while(|entry| continues(entry)).last();
        let through = rest.map_or(older, |entry| entry.address);
        let message = ItemAddress { turn: self.turn, item: 0 };
        let within = through.turn == self.turn && through >= message;
        let message = within.then_some(message);
        Next::LeaveOut { through, message, summary: DroppedSummary::Kept }
    }

    fn drop_last_resorts(&self) -> Next {
        if self.view.summary.is_some()
            && let Some(through) = self.view.through
        {
            let (message, summary) = (self.view.message, DroppedSummary::Dropped);
            return Next::LeaveOut { through, message, summary };
        }
        if let Some(shorten) = self.shorten_last(self.limit) {
            return shorten;
        }
        let last = self.entries.last().filter(|last| last.address.turn == self.turn);
        match last {
            Some(last)
                if self.last_step() < self.entries.len() && self.steps == Steps::Droppable =>
            {
                let message = Some(ItemAddress { turn: self.turn, item: 0 });
                let (through, summary) = (last.address, DroppedSummary::Kept);
                Next::LeaveOut { through, message, summary }
            }
            _ => Next::CannotFit,
        }
    }
}
