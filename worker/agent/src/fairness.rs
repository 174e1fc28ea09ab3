//! Who gets the next place: a pure function of who waits and who runs.
//!
//! Places are shared by caller, and those of a caller by agent: who has the fewest comes first, and
//! of those who have as many, who has waited longest. So, while others wait, no place makes one's
//! part larger than an even share. Of one caller's turns at one agent, those that have begun and came
//! back for a place are before those that have not.
//!
//! The last free places are only for callers who have none, and those before them only for agents
//! that have none: nobody's place is ever taken for another one, and who comes would wait for the end
//! of a long command, or of a model that hangs.
//!
//! Time is counted in positions of turns, and of those who were served or came back when the same turn
//! was the last one, in the order in which they did.

use std::collections::{BTreeMap, BTreeSet};

use evonic_domain::TurnId;
use evonic_store::WaitingTurn;

/// By whom a place is held: the caller, and the agent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Holder {
    caller: String,
    agent: String,
}

impl Holder {
    pub(super) fn of(turn: &WaitingTurn) -> Self {
        Self { caller: turn.posted_by.clone(), agent: turn.agent_id.clone() }
    }

    /// A turn of this holder.
    pub(super) fn turn(&self, turn_id: TurnId, position: u64) -> WaitingTurn {
        let Self { caller: posted_by, agent: agent_id } = self.clone();
        WaitingTurn { turn_id, posted_by, agent_id, position }
    }
}

/// How many of the last free places are for whom.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reserve {
    /// For callers who have none.
    pub(super) callers: u32,
    /// Before these: for agents that have none, as this caller's.
    pub(super) agents: u32,
}

/// Places of one kind, who holds them, and who was served when.
#[derive(Clone, Debug)]
pub(super) struct Places {
    free: u32,
    reserve: Reserve,
    held: BTreeMap<Holder, u32>,
    /// When a turn of this holder last got a place. Only of callers who wait: the turns of whoever
    /// comes later are later.
    served: BTreeMap<Holder, Moment>,
    ticks: u64,
}

/// The position of the turn that was posted last, and how often somebody was served or came back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(u64, u64);

/// A turn that waits for a place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<'t> {
    pub(super) turn: &'t WaitingTurn,
    pub(super) since: Moment,
}

impl<'t> Candidate<'t> {
    /// One that waits in the queue, since it was posted.
    pub(super) const fn queued(turn: &'t WaitingTurn) -> Self {
        Self { turn, since: Moment(turn.position, 0) }
    }
}

impl Places {
    /// So many places, some of them reserved; none is held.
    pub(super) const fn new(size: u32, reserve: Reserve) -> Self {
        Self { free: size, reserve, held: BTreeMap::new(), served: BTreeMap::new(), ticks: 0 }
    }

    /// Whether none is free.
    pub(super) const fn is_full(&self) -> bool {
        self.free == 0
    }

    /// Takes a place, when the turn at `last` was posted last.
    pub(super) fn take(&mut self, holder: Holder, last: u64) {
        self.free = self.free.saturating_sub(1);
        let now = self.now(last);
        self.served.insert(holder.clone(), now);
        *self.held.entry(holder).or_default() += 1;
    }

    /// The moment at which somebody comes back, or is served, when the turn at `last` was posted last:
    /// later than every one before, and than when whoever is queued was posted.
    pub(super) const fn now(&mut self, last: u64) -> Moment {
        self.ticks += 1;
        Moment(last, self.ticks)
    }

    /// Gives a place back.
    pub(super) fn give_back(&mut self, holder: &Holder) {
        self.free += 1;
        if let Some(held) = self.held.get_mut(holder) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(holder);
            }
        }
    }

    /// Forgets when those were served who do not wait.
    pub(super) fn forget_served<'t>(&mut self, waiting: impl IntoIterator<Item = &'t WaitingTurn>) {
        let waiting: BTreeSet<_> =
            waiting.into_iter().map(|turn| turn.posted_by.as_str()).collect();
        self.served.retain(|holder, _| waiting.contains(holder.caller.as_str()));
    }

    /// Whether this turn may have a place now.
    pub(super) fn may(&self, turn: &WaitingTurn) -> bool {
        let holder = Holder::of(turn);
        let held = |matches: &dyn Fn(&Holder) -> bool| self.held.keys().any(matches);
        let kept = if !held(&|other| other.caller == holder.caller) {
            0
        } else if !held(&|other| *other == holder) {
            self.reserve.callers
        } else {
            self.reserve.callers + self.reserve.agents
        };
        self.free > kept
    }

    /// The turn that gets the next place: nothing when nobody waits who may have it. Of those that
    /// have a caller and an agent in common it is the first one.
    pub(super) fn choose<'t>(&self, waiting: &[Candidate<'t>]) -> Option<&'t WaitingTurn> {
        let mut callers: BTreeMap<&str, BTreeMap<&str, Candidate<'t>>> = BTreeMap::new();
        for candidate in waiting.iter().filter(|candidate| self.may(candidate.turn)) {
            let agents = callers.entry(&candidate.turn.posted_by).or_default();
            let first = agents.entry(&candidate.turn.agent_id).or_insert(*candidate);
            first.since = candidate.since.min(first.since);
        }
        let (caller, agents) = callers.into_iter().min_by_key(|(caller, agents)| {
            let first = agents.values().map(|first| first.since).min();
            self.rank(|holder| holder.caller == *caller, first.unwrap_or_default())
        })?;
        let (_, first) = agents.into_iter().min_by_key(|(agent, first)| {
            self.rank(|holder| holder.caller == caller && holder.agent == *agent, first.since)
        })?;
        Some(first.turn)
    }

    /// The places of some holders, and since when they wait, the first of whose turns waits since
    /// `first`.
    fn rank(&self, matches: impl Fn(&Holder) -> bool, first: Moment) -> (u32, Moment) {
        let held = self.held.iter().filter(|(holder, _)| matches(holder)).map(|(_, held)| held);
        let served = self.served.iter().filter(|(holder, _)| matches(holder)).map(|(_, at)| *at);
        (held.sum(), served.max().unwrap_or_default().max(first))
    }
}

#[cfg(test)]
mod tests;
