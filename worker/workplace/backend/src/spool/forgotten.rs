//! Command ids whose records may go.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

/// The most that are remembered; the oldest beyond are left to `spool.keep`.
const MOST: usize = 1024;

/// The most that one script removes.
const AT_ONCE: usize = 64;

/// Command ids whose records may go, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Forgotten(Mutex<VecDeque<String>>);

impl Forgotten {
    /// Adds command ids.
    pub(super) fn add(&self, marks: impl IntoIterator<Item = String>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(marks);
        let beyond = known.len().saturating_sub(MOST);
        known.drain(..beyond);
    }

    /// Takes some, to be removed, or to be added again.
    pub(super) fn take(&self) -> Vec<String> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = known.len().min(AT_ONCE);
        known.drain(..count).collect()
    }
}
