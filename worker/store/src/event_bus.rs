//! Committed events on their way to whoever follows a session.

use std::{collections::HashMap, sync::Arc};

use evonic_domain::{Event, SessionId};
use parking_lot::Mutex;
use tokio::sync::broadcast::{self, error::RecvError};

/// How many notices a follower may be behind before it is sent to the database instead.
const BEHIND: usize = 256;

/// What a follower receives.
#[derive(Clone, Debug)]
pub enum Notice {
    /// These were committed, in order.
    Events(Arc<[Event]>),
    /// Something may have been missed, or another process wrote: read from the database.
    Foreign,
}

/// Who follows which session. A session without a follower has no entry.
#[derive(Clone, Debug, Default)]
pub(super) struct EventBus {
    followed: Arc<Mutex<Followed>>,
}

#[derive(Debug, Default)]
struct Followed {
    sessions: HashMap<SessionId, broadcast::Sender<Notice>>,
    closed: bool,
}

impl EventBus {
    pub(super) fn subscribe(&self, session: &SessionId) -> Subscription {
        let mut followed = self.followed.lock();
        let notices = (!followed.closed).then(|| {
            let sender = followed.sessions.entry(session.clone());
            sender.or_insert_with(|| broadcast::Sender::new(BEHIND)).subscribe()
        });
        Subscription { event_bus: self.clone(), session: session.clone(), notices }
    }

    /// Tells the followers of each session what one commit brought, in order.
    pub(super) fn publish(&self, mut events: Vec<Event>) {
        let followed = self.followed.lock();
        events.retain(|event| followed.sessions.contains_key(&event.session_id));
        // Stable: the events of one session keep their order.
        events.sort_by(|a, b| a.session_id.cmp(&b.session_id));
        for events in events.chunk_by(|a, b| a.session_id == b.session_id) {
            if let Some(sender) = followed.sessions.get(&events[0].session_id) {
                // Fails only without a receiver.
                let _ = sender.send(Notice::Events(events.into()));
            }
        }
    }

    /// Tells every follower that another process wrote.
    pub(super) fn tell_foreign(&self) {
        for sender in self.followed.lock().sessions.values() {
            let _ = sender.send(Notice::Foreign);
        }
    }

    /// Ends every subscription, and those to come.
    pub(super) fn close(&self) {
        let mut followed = self.followed.lock();
        followed.closed = true;
        followed.sessions.clear();
    }
}

/// Follows one session. Holds no descriptor.
#[derive(Debug)]
pub struct Subscription {
    event_bus: EventBus,
    session: SessionId,
    /// None once the store is closed.
    notices: Option<broadcast::Receiver<Notice>>,
}

impl Subscription {
    /// The next notice. Never ends before the store closes; then [`None`]. Cancel safe.
    ///
    /// A follower that is too far behind receives [`Notice::Foreign`] in place of what it missed.
    pub async fn next(&mut self) -> Option<Notice> {
        match self.notices.as_mut()?.recv().await {
            Ok(notice) => Some(notice),
            Err(RecvError::Lagged(_)) => Some(Notice::Foreign),
            Err(RecvError::Closed) => {
                self.notices = None;
                None
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut followed = self.event_bus.followed.lock();
        // Under the lock, so that of two that leave together the second sees an empty entry.
        self.notices = None;
        if let Some(sender) = followed.sessions.get(&self.session)
            && sender.receiver_count() == 0
        {
            followed.sessions.remove(&self.session);
        }
    }
}

#[cfg(test)]
mod tests;
