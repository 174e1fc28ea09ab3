//! SQLite: the only room that contains SQL.
//!
//! - A read opens a handle of its own and closes it before it returns: [`Store::read`].
//! - A write is a closure to the one writer, which puts what waits into one transaction, commits
//!   it (fsync) and only then answers and publishes events: [`Store::write`].
//! - Another worker may write the same database during a recycle: [`Store::look_abroad`].
//!
//! SQL is portable: PostgreSQL will stand behind the same functions.

mod error;
mod hub;
mod page;
mod reader;
mod writer;

use std::{path::Path, sync::Arc};

use evonic_shared::config;

pub use error::StoreError;
pub use hub::{Notice, Subscription};
pub use page::{Cursor, List, Paging};
pub use reader::Reader;
pub use writer::{Claimed, PendingCall, Writer};

use crate::{domain::SessionId, handles::Budget};

/// The database. Shared by cloning; closed by [`Store::close`].
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<()>,
}

impl Store {
    /// Opens the database, brings its schema up to date, and starts the writer and the bounded,
    /// named reader threads. Blocks: call it before the runtime serves.
    ///
    /// # Errors
    /// [`StoreError`] when the file cannot be opened, is of a later version, or is corrupt.
    pub fn open(path: &Path, settings: &config::Store, budget: Budget) -> Result<Self, StoreError> {
        let _ = (path, settings, budget);
        todo!()
    }

    /// Runs `f` on a handle that is opened for this call and closed before it returns, on one of
    /// the reader threads, within one read transaction.
    ///
    /// Cancel safe: a dropped call still closes its handle.
    ///
    /// # Errors
    /// [`StoreError::Exhausted`] when no handle came free within `store.acquire_timeout`, and
    /// what `f` returns.
    pub async fn read<T, F>(&self, f: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Reader<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let _ = f;
        todo!()
    }

    /// Runs `f` in the writer's next transaction; returns after its commit is on disk. An error
    /// of `f` undoes what `f` did and nothing else. Events that `f` appended are published after
    /// the commit, in order.
    ///
    /// Not cancel safe: a dropped call may still be committed.
    ///
    /// # Errors
    /// What `f` returns, and [`StoreError`] when the commit fails.
    pub async fn write<T, F>(&self, f: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Writer<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let _ = f;
        todo!()
    }

    /// A round trip through the writer's queue and a read on its handle: the part's proof of life.
    ///
    /// # Errors
    /// [`StoreError`] when the writer cannot answer.
    pub async fn ping(&self) -> Result<(), StoreError> {
        todo!()
    }

    /// Follows the events of one session from now on.
    #[must_use]
    pub fn subscribe(&self, session: &SessionId) -> Subscription {
        let _ = session;
        todo!()
    }

    /// Asks whether another process changed the database since the last call (`data_version`); if
    /// so, tells every subscription [`Notice::Foreign`]. Returns whether it did.
    ///
    /// # Errors
    /// [`StoreError`] when the writer cannot answer.
    pub async fn look_abroad(&self) -> Result<bool, StoreError> {
        todo!()
    }

    /// Finishes queued writes, checkpoints, closes every handle and joins every thread. Blocks.
    pub fn close(self) {
        let _ = self.inner;
        todo!()
    }
}
