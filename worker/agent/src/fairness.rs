//! Who gets the next place: a pure function of who waits and who runs.
//!
//! Places are shared by caller, and those of a caller by agent: who has the fewest running turns
//! comes first, and of those who have as many, who has waited longest. So, while others wait, no
//! place makes one's part larger than an even share.
//!
//! The last free places, `agents.reserved_workers`, are only for who has none: a running turn is
//! never stopped for another one, and who comes would wait for the end of a long command.
//!
//! Time is counted in positions of turns, and of those who were served when the same turn was the
//! last one, in the order in which they were.

use std::collections::{BTreeMap, BTreeSet};

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
}

/// The places of this worker, who holds them, and who was served when.
#[derive(Clone, Debug)]
pub(super) struct Places {
    free: u32,
    reserved: u32,
    held: BTreeMap<Holder, u32>,
    /// When a turn of this holder was last begun. Only of callers who wait: the turns of whoever
    /// comes later are later.
    served: BTreeMap<Holder, Moment>,
    begun: u64,
}

/// The position of the turn that was posted last, and how many were begun.
type Moment = (u64, u64);

impl Places {
    /// So many places, of which so many are reserved; none is held.
    pub(super) const fn new(workers: u32, reserved: u32) -> Self {
        Self { free: workers, reserved, held: BTreeMap::new(), served: BTreeMap::new(), begun: 0 }
    }

    /// Whether none is free.
    pub(super) const fn is_full(&self) -> bool {
        self.free == 0
    }

    /// Takes a place for a turn that is begun, when the turn at `last` was posted last.
    pub(super) fn take(&mut self, holder: Holder, last: u64) {
        self.free = self.free.saturating_sub(1);
        self.begun += 1;
        self.served.insert(holder.clone(), (last, self.begun));
        *self.held.entry(holder).or_default() += 1;
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
    pub(super) fn forget_served(&mut self, waiting: &[WaitingTurn]) {
        let waiting: BTreeSet<_> = waiting.iter().map(|turn| turn.posted_by.as_str()).collect();
        self.served.retain(|holder, _| waiting.contains(holder.caller.as_str()));
    }

    /// The turn that gets the next place: nothing when nobody waits who may have it.
    pub(super) fn choose<'t>(&self, waiting: &'t [WaitingTurn]) -> Option<&'t WaitingTurn> {
        let callers: BTreeSet<_> = waiting.iter().map(|turn| turn.posted_by.as_str()).collect();
        let claim = |caller: &str| {
            let of_caller = |holder: &Holder| holder.caller == caller;
            let first = waiting.iter().filter(|turn| turn.posted_by == caller);
            self.rank(of_caller, first.map(|turn| turn.position).min().unwrap_or(u64::MAX))
        };
        let may = |held: u32| self.free > if held == 0 { 0 } else { self.reserved };
        let caller = callers
            .into_iter()
            .map(|caller| (claim(caller), caller))
            .filter(|((held, _), _)| may(*held))
            .min()?
            .1;
        let turns = waiting.iter().filter(|turn| turn.posted_by == caller);
        turns.min_by_key(|turn| {
            let holder = Holder::of(turn);
            self.rank(|held| *held == holder, turn.position)
        })
    }

    /// The places of some holders, and since when they wait, whose first waiting turn is `first`.
    fn rank(&self, matches: impl Fn(&Holder) -> bool, first: u64) -> (u32, Moment) {
        let held = self.held.iter().filter(|(holder, _)| matches(holder)).map(|(_, held)| held);
        let served = self.served.iter().filter(|(holder, _)| matches(holder)).map(|(_, at)| *at);
        (held.sum(), served.max().unwrap_or_default().max((first, 0)))
    }
}

#[cfg(test)]
mod tests;
