//! Committed events on their way to whoever follows a session.

use std::sync::Arc;

use crate::domain::Event;

/// What a follower is told.
#[derive(Clone, Debug)]
pub enum Notice {
    /// These were committed, in order.
    Events(Arc<[Event]>),
    /// Something may have been missed, or another process wrote: read from the database.
    Foreign,
}

/// Follows one session. Holds no descriptor.
#[derive(Debug)]
pub struct Subscription {
    _private: (),
}

impl Subscription {
    /// The next notice. Never ends before the store closes; then [`None`]. Cancel safe.
    pub async fn next(&mut self) -> Option<Notice> {
        todo!()
    }
}
