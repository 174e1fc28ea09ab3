//! What whoever looks after the database asks of it: room on its disk, sessions that are half made,
//! work that waits, the size of the file.

use std::sync::atomic::Ordering;

use crate::{Storage, Store, StoreError};
use evonic_domain::SessionId;

impl Store {
    /// From now on so many bytes stay free on the database's file system: with less nothing new is
    /// taken.
    pub fn keep_free(&self, bytes: u64) {
        self.inner.opener.room.keep(bytes);
    }

    /// Whether less is free than that, looked at now.
    #[must_use]
    pub fn is_low_on_space(&self) -> bool {
        self.inner.opener.room.is_low()
    }

    /// Refuses what is new while less is free.
    ///
    /// # Errors
    /// [`StoreError::LowSpace`].
    pub fn require_room(&self) -> Result<(), StoreError> {
        self.inner.opener.room.require()
    }

    /// Whether less than half of that is free, looked at now: the error that says so.
    #[must_use]
    pub fn out_of_space(&self) -> Option<StoreError> {
        let room = &self.inner.opener.room;
        room.is_spent().then(|| room.error())
    }

    /// How large the database is, to be asked at any time.
    #[must_use]
    pub fn storage(&self) -> Storage {
        self.inner.opener.storage.clone()
    }

    /// Says that a session is being made, which is hidden until it is whole: nobody takes it for one
    /// that was left half made while this is held.
    #[must_use]
    pub fn making(&self, id: &SessionId) -> Making {
        self.inner.making.lock().insert(id.clone());
        Making { store: self.clone(), id: id.clone() }
    }

    /// Whether a session is being made here.
    #[must_use]
    pub fn is_making(&self, id: &SessionId) -> bool {
        self.inner.making.lock().contains(id)
    }

    /// Something was deleted of which more is left to go.
    pub fn wake_upkeep(&self) {
        self.inner.upkeep.notify_one();
    }

    /// Waits for [`Store::wake_upkeep`]. Cancel safe.
    pub async fn upkeep_wanted(&self) {
        self.inner.upkeep.notified().await;
    }

    /// Has the writer bring its log into the file before its next write, so that the file is smaller by
    /// the pages that were given back. Where a reader is in the way, that is left to a later time.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn shrink_file(&self) -> Result<(), StoreError> {
        self.inner.opener.shrinks.store(true, Ordering::SeqCst);
        self.write(|_writer| Ok(())).await
    }
}

/// A session that is being made: see [`Store::making`].
#[derive(Debug)]
pub struct Making {
    store: Store,
    id: SessionId,
}

impl Drop for Making {
    fn drop(&mut self) {
        self.store.inner.making.lock().remove(&self.id);
        // What is left of one that is not whole goes.
        self.store.wake_upkeep();
    }
}
