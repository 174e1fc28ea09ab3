//! Committed events on their way to whoever follows a session.
//!
//! An event is kept once, however many follow, and for a follower that does not keep up not at all.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use evonic_domain::{Event, SessionId};
use parking_lot::Mutex;
use tokio::sync::{Notify, broadcast};

/// How many notices wait for a follower at the most; one that is further behind is sent to the
/// database instead, and nothing waits for it.
const MAX_NOTICES: usize = 256;

/// How many bytes of events do. What is longer is never kept for anybody.
const MAX_BYTES: usize = 64 * 1024;

/// What a follower receives.
#[derive(Clone, Debug)]
pub enum Notice {
    /// These were committed, in order.
    Events(Arc<[Event]>),
    /// Something may have been missed, or another process wrote: read from the database.
    Foreign,
}

/// How many `budget.reached` wait for a follower at the most; of more it misses the first.
const MAX_BUDGET_NOTICES: usize = 256;

/// The event that every follower of budgets is told of.
const BUDGET_REACHED: &str = "budget.reached";

/// Who follows which session. A session without a follower has no entry.
#[derive(Clone, Debug)]
pub(super) struct EventBus {
    followed: Arc<Mutex<Followed>>,
    budgets: broadcast::Sender<Event>,
}

impl Default for EventBus {
    fn default() -> Self {
        Self { followed: Arc::default(), budgets: broadcast::Sender::new(MAX_BUDGET_NOTICES) }
    }
}

#[derive(Debug, Default)]
struct Followed {
    sessions: HashMap<SessionId, Vec<Arc<Follower>>>,
    closed: bool,
}

/// What waits for one follower.
#[derive(Debug, Default)]
struct Follower {
    queue: Mutex<Queue>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    notices: VecDeque<Arc<[Event]>>,
    /// Of the events in them.
    bytes: usize,
    /// It has to read from the database; until it has begun to, nothing is kept for it.
    is_behind: bool,
    closed: bool,
}

impl Follower {
    fn change(&self, change: impl FnOnce(&mut Queue)) {
        change(&mut self.queue.lock());
        self.news.notify_one();
    }
}

impl Queue {
    /// Keeps a notice of events that have so many bytes, if there is room.
    fn push(&mut self, events: &Arc<[Event]>, bytes: usize) {
        if self.notices.len() == MAX_NOTICES || self.bytes + bytes > MAX_BYTES {
            self.fall_behind();
        } else if !self.is_behind {
            self.bytes += bytes;
            self.notices.push_back(Arc::clone(events));
        }
    }

    fn fall_behind(&mut self) {
        *self = Self { is_behind: true, closed: self.closed, ..Self::default() };
    }

    /// What the follower gets now: [`None`] inside when the store is closed, outside when it has to
    /// wait.
    fn pop(&mut self) -> Option<Option<Notice>> {
        if std::mem::take(&mut self.is_behind) {
            return Some(Some(Notice::Foreign));
        }
        match self.notices.pop_front() {
            Some(events) => {
                self.bytes -= bytes_of(&events);
                Some(Some(Notice::Events(events)))
            }
            None => self.closed.then_some(None),
        }
    }
}

fn bytes_of(events: &[Event]) -> usize {
    events.iter().map(|event| size_of::<Event>() + event.name.len() + event.data.len()).sum()
}

impl EventBus {
    pub(super) fn subscribe(&self, session: &SessionId) -> Subscription {
        let mut followed = self.followed.lock();
        let follower = Arc::<Follower>::default();
        if followed.closed {
            follower.change(|queue| queue.closed = true);
        } else {
            followed.sessions.entry(session.clone()).or_default().push(Arc::clone(&follower));
        }
        Subscription { event_bus: self.clone(), session: session.clone(), follower }
    }

    pub(super) fn budget_notices(&self) -> BudgetNotices {
        BudgetNotices(self.budgets.subscribe())
    }

    /// Tells the followers of each session what one commit brought, in order.
    pub(super) fn publish(&self, mut events: Vec<Event>) {
        for event in events.iter().filter(|event| event.name == BUDGET_REACHED) {
            // Fails only where nobody follows.
            let _ = self.budgets.send(event.clone());
        }
        let followed = self.followed.lock();
        events.retain(|event| followed.sessions.contains_key(&event.session_id));
        // Stable: the events of one session keep their order.
        events.sort_by(|a, b| a.session_id.cmp(&b.session_id));
        for events in events.chunk_by(|a, b| a.session_id == b.session_id) {
            let Some(followers) = followed.sessions.get(&events[0].session_id) else { continue };
            let bytes = bytes_of(events);
            if bytes > MAX_BYTES {
                followers.iter().for_each(|follower| follower.change(Queue::fall_behind));
                continue;
            }
            let events = events.into();
            for follower in followers {
                follower.change(|queue| queue.push(&events, bytes));
            }
        }
    }

    /// Tells every follower that another process wrote.
    pub(super) fn tell_foreign(&self) {
        let followed = self.followed.lock();
        let followers = followed.sessions.values().flatten();
        followers.for_each(|follower| follower.change(Queue::fall_behind));
    }

    /// Ends every subscription, and those to come.
    pub(super) fn close(&self) {
        let mut followed = self.followed.lock();
        followed.closed = true;
        for follower in followed.sessions.drain().flat_map(|(_, followers)| followers) {
            follower.change(|queue| queue.closed = true);
        }
    }
}

/// Follows `budget.reached` of every session. Holds no descriptor.
#[derive(Debug)]
pub struct BudgetNotices(broadcast::Receiver<Event>);

impl BudgetNotices {
    /// The next one, and how many were missed before it. Never ends before the store is gone; then
    /// [`None`]. Cancel safe.
    pub async fn next(&mut self) -> Option<(Event, u64)> {
        let mut missed = 0;
        loop {
            match self.0.recv().await {
                Ok(event) => return Some((event, missed)),
                Err(broadcast::error::RecvError::Lagged(more)) => missed += more,
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

/// Follows one session. Holds no descriptor.
#[derive(Debug)]
pub struct Subscription {
    event_bus: EventBus,
    session: SessionId,
    follower: Arc<Follower>,
}

impl Subscription {
    /// The next notice. Never ends before the store closes; then [`None`]. Cancel safe.
    ///
    /// A follower that is too far behind receives [`Notice::Foreign`] in place of what it missed,
    /// and so does one whose next event is long.
    pub async fn next(&mut self) -> Option<Notice> {
        loop {
            let now = self.follower.queue.lock().pop();
            if let Some(notice) = now {
                return notice;
            }
            self.follower.news.notified().await;
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut followed = self.event_bus.followed.lock();
        if let Some(followers) = followed.sessions.get_mut(&self.session) {
            followers.retain(|follower| !Arc::ptr_eq(follower, &self.follower));
            if followers.is_empty() {
                followed.sessions.remove(&self.session);
            }
        }
    }
}

#[cfg(test)]
mod tests;
