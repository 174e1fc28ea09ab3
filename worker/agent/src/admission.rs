//! What the running turns hold of this worker, and who waits for more.
//!
//! ```text
//!           claim                    ask the model              call a tool
//! queued ---------> holds a work place -----------> waits, then --------> waits, then holds a
//!                                                   asks: holds a          work place again
//!                                                   call place
//! ```
//!
//! A turn that asks a model over a network holds no work place: what hangs there is in nobody's way
//! here. Both kinds are shared as `fairness` says, and so is the number of turns that run at all.
//! What leaves the worker, in whatever way, has given everything back.

use std::collections::HashMap;

use evonic_domain::Lease;
use evonic_shared::config;
use evonic_store::WaitingTurn;
use tokio::{
    sync::{mpsc, oneshot},
    task::{Id, id},
};

use crate::fairness::{Candidate, Holder, Moment, Places, Reserve};

/// What a turn needs a place for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Tools, on this machine and others: one of `agents.workers`.
    Work,
    /// A model's endpoint: one of `budget.model`.
    Call,
}

/// A running turn's wish: it gives back what it holds, and waits for this.
#[derive(Debug)]
pub(super) struct Wish {
    task: Id,
    place: Place,
    granted: oneshot::Sender<()>,
}

/// The place of one turn, by which it asks for another.
#[derive(Debug)]
pub(super) struct OwnPlace {
    wishes: mpsc::Sender<Wish>,
    held: Option<Place>,
}

impl OwnPlace {
    /// That of a turn that was just claimed.
    pub(super) const fn claimed(wishes: mpsc::Sender<Wish>) -> Self {
        Self { wishes, held: Some(Place::Work) }
    }

    /// Gives back what the turn holds unless it is this, and waits until it has this. Called in the
    /// turn's own task. Cancel safe: who stops waiting holds nothing.
    pub(super) async fn take(&mut self, place: Place) {
        if self.held == Some(place) {
            return;
        }
        self.held = None;
        let (granted, grant) = oneshot::channel();
        // The claimer outlives its turns; it drops no wish of one that waits.
        let asked = self.wishes.send(Wish { task: id(), place, granted }).await;
        if asked.is_ok() && grant.await.is_ok() {
            self.held = Some(place);
        }
    }
}

/// A turn of this worker.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) lease: Lease,
    holder: Holder,
    held: Option<Place>,
}

/// A turn that waits for a place.
#[derive(Debug)]
struct Waiter {
    wish: Wish,
    turn: WaitingTurn,
    since: Moment,
}

/// The places, and every turn of this worker.
#[derive(Debug)]
pub(super) struct Admission {
    running: Places,
    work: Places,
    calls: Places,
    turns: HashMap<Id, Admitted>,
    waiters: Vec<Waiter>,
    /// Position of the turn that was posted last, as the last look at the queue found it.
    last: u64,
}

/// As it stood when the queue was looked at.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    running: Places,
    work: Places,
    returning: Vec<(WaitingTurn, Moment)>,
}

impl Snapshot {
    /// The turn that gets the next work place: a queued one, or one that comes back.
    pub(super) fn choose<'t>(&'t mut self, queued: &'t [WaitingTurn]) -> Option<&'t WaitingTurn> {
        let returning =
            self.returning.iter().map(|(turn, since)| Candidate { turn, since: *since });
        self.work.forget_served(returning.clone().map(|candidate| candidate.turn).chain(queued));
        let may_run = queued.iter().filter(|turn| self.running.may(turn)).map(Candidate::queued);
        let waiting: Vec<_> = returning.chain(may_run).collect();
        self.work.choose(&waiting)
    }
}

impl Admission {
    /// Places as configured; none is held.
    pub(super) fn new(settings: &config::Agents, model_handles: u32) -> Self {
        let workers = Reserve { callers: settings.reserved_workers, agents: 0 };
        // Who has one is left an even share of what the workers do not need.
        let spare = settings.max_running.saturating_sub(settings.workers) / 4;
        let running = Reserve { callers: spare, agents: spare };
        let spare = if model_handles < 4 { 0 } else { model_handles.div_ceil(8) };
        let calls = Reserve { callers: spare, agents: spare };
        Self {
            running: Places::new(settings.max_running, running),
            work: Places::new(settings.workers, workers),
            calls: Places::new(model_handles, calls),
            turns: HashMap::new(),
            waiters: Vec::new(),
            last: 0,
        }
    }

    /// Whether a turn could be begun.
    pub(super) const fn has_room(&self) -> bool {
        !self.work.is_full() && !self.running.is_full()
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let returning = waiting_for(&self.waiters, Place::Work);
        let returning = returning.map(|waits| (waits.turn.clone(), waits.since)).collect();
        Snapshot { running: self.running.clone(), work: self.work.clone(), returning }
    }

    /// What a look at the queue found: who waits there, and the turn that was posted last.
    pub(super) fn looked(&mut self, queued: &[WaitingTurn], last: u64) {
        self.last = last;
        let returning = waiting_for(&self.waiters, Place::Work);
        self.work.forget_served(returning.map(|candidate| candidate.turn).chain(queued));
        self.running.forget_served(queued);
    }

    /// Gives a claimed turn its place.
    pub(super) fn begin(&mut self, task: Id, lease: Lease, holder: Holder) {
        self.running.take(holder.clone(), self.last);
        self.work.take(holder.clone(), self.last);
        self.turns.insert(task, Admitted { lease, holder, held: Some(Place::Work) });
    }

    /// A turn goes on in another task, with what it holds.
    pub(super) fn goes_on(&mut self, task: Id, admitted: Admitted) {
        self.turns.insert(task, admitted);
    }

    /// The turn of a task that has ended, which still holds what it held.
    pub(super) fn ended(&mut self, task: Id) -> Option<Admitted> {
        self.turns.remove(&task)
    }

    /// Takes back what a turn held that left this worker.
    pub(super) fn left(&mut self, admitted: &Admitted) {
        self.running.give_back(&admitted.holder);
        self.give_back(admitted.held, &admitted.holder);
        self.grant_calls();
    }

    /// Notes what a turn gives back and waits for. Returns whether a work place came free.
    pub(super) fn wished(&mut self, wish: Wish) -> bool {
        let Some(admitted) = self.turns.get_mut(&wish.task) else { return false };
        let (held, holder) = (admitted.held.take(), admitted.holder.clone());
        let turn_id = admitted.lease.turn_id.clone();
        // What it wished before it does not wait for any more.
        self.waiters.retain(|waiter| waiter.wish.task != wish.task);
        self.give_back(held, &holder);
        let turn = holder.turn(turn_id, self.last);
        let last = self.last;
        let since = self.places(wish.place).now(last);
        self.waiters.push(Waiter { wish, turn, since });
        self.grant_calls();
        held == Some(Place::Work)
    }

    /// Gives free work places to turns that come back for one, where nobody is queued who could have
    /// them.
    pub(super) fn grant_work(&mut self) {
        self.grant_all(Place::Work);
    }

    /// Gives a work place to a turn that came back for one, if it still waits.
    pub(super) fn grant(&mut self, chosen: &WaitingTurn) {
        let waits = |waiter: &Waiter| {
            waiter.turn.turn_id == chosen.turn_id && waiter.wish.place == Place::Work
        };
        if let Some(at) = self.waiters.iter().position(waits) {
            let waiter = self.waiters.remove(at);
            self.give(waiter);
        }
    }

    fn grant_calls(&mut self) {
        self.grant_all(Place::Call);
    }

    fn grant_all(&mut self, place: Place) {
        self.waiters.retain(|waiter| !waiter.wish.granted.is_closed());
        loop {
            let waiting: Vec<_> = waiting_for(&self.waiters, place).collect();
            let places = if place == Place::Work { &mut self.work } else { &mut self.calls };
            if place == Place::Call {
                places.forget_served(waiting.iter().map(|candidate| candidate.turn));
            }
            let Some(chosen) = places.choose(&waiting).map(|turn| turn.turn_id.clone()) else {
                return;
            };
            let chosen = |waiter: &Waiter| waiter.turn.turn_id == chosen;
            let Some(at) = self.waiters.iter().position(chosen) else { return };
            let waiter = self.waiters.remove(at);
            self.give(waiter);
        }
    }

    /// Gives a place to a turn, unless it has stopped waiting.
    fn give(&mut self, waiter: Waiter) {
        let Wish { task, place, granted } = waiter.wish;
        let Some(admitted) = self.turns.get_mut(&task) else { return };
        if granted.send(()).is_err() {
            return;
        }
        admitted.held = Some(place);
        let (holder, last) = (admitted.holder.clone(), self.last);
        self.places(place).take(holder, last);
    }

    fn give_back(&mut self, held: Option<Place>, holder: &Holder) {
        if let Some(held) = held {
            self.places(held).give_back(holder);
        }
    }

    const fn places(&mut self, place: Place) -> &mut Places {
        match place {
            Place::Work => &mut self.work,
            Place::Call => &mut self.calls,
        }
    }
}

/// The turns that wait for such a place, in the order in which they came.
fn waiting_for(waiters: &[Waiter], place: Place) -> impl Iterator<Item = Candidate<'_>> + Clone {
    let waits = move |waiter: &&Waiter| waiter.wish.place == place;
    let waiters = waiters.iter().filter(waits);
    waiters.map(|waiter| Candidate { turn: &waiter.turn, since: waiter.since })
}

#[cfg(test)]
mod tests;
