//! Whether an endpoint is out of reach just now.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How long an endpoint that was out of reach is asked after those that its model falls back on.
const LASTS: Duration = Duration::from_secs(60);

/// What is remembered of an endpoint that did not answer.
#[derive(Debug, Default)]
pub(super) struct Outage(Mutex<Option<Instant>>);

impl Outage {
    pub(super) fn begin(&self) {
        self.set(Some(Instant::now() + LASTS));
    }

    pub(super) fn end(&self) {
        self.set(None);
    }

    pub(super) fn is_under_way(&self) -> bool {
        let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    fn set(&self, until: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
}
