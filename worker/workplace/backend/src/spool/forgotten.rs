//! Command ids whose records may be removed.

use std::collections::VecDeque;

use parking_lot::Mutex;

/// The most that are remembered; older ones are left to `spool.keep`.
const MOST: usize = 1024;

/// The most that one script removes.
const BATCH: usize = 64;

/// Command ids whose records may be removed, the oldest first. All spools of one machine share them:
/// one that is opened for a turn does not live until the next command.
#[derive(Debug, Default)]
pub struct Forgotten(Mutex<VecDeque<String>>);

impl Forgotten {
    pub(super) fn add(&self, command_ids: impl IntoIterator<Item = String>) {
        let mut known = self.0.lock();
        known.extend(command_ids);
        let beyond = known.len().saturating_sub(MOST);
        known.drain(..beyond);
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    /// Takes some, to be removed, or to be added again.
    pub(super) fn take(&self) -> Vec<String> {
        let mut known = self.0.lock();
        let count = known.len().min(BATCH);
        known.drain(..count).collect()
    }
}
