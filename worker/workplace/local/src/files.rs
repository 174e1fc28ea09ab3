//! Files below the root: opened beneath it by the kernel, written atomically.
//!
//! The gateway for `file` descriptors. No operation holds more than two at once, and each takes two
//! permits before it begins. Paths are resolved by `openat2(2)` with `RESOLVE_BENEATH`: a link
//! swapped in at any moment cannot lead outside. Nothing but a regular file or a folder is ever
//! opened for reading: what a path is, is asked of an `O_PATH` handle, which wakes no pipe's other
//! end and no device, and that same object is then opened through `/proc/self/fd`.

mod access_list;
mod attributes;
pub(super) mod change;
mod fd_scope;
pub(super) mod list;
mod operation;
mod root;
pub(super) mod search;
pub(super) mod transfer;
pub(super) mod write;

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use evonic_shared::kind::Kind;
use rustix::fs::FileType;
use tokio::{sync::Mutex, time::timeout};

use self::fd_scope::FdScope;
pub(super) use self::{operation::Operation, root::Root};
use evonic_backend::Result;
use evonic_handles::{
    Budget, Exhausted, Permit,
    blocking::{BlockingPool, Waiter},
};

/// Threads that wait for disks.
const THREADS: usize = 4;

/// How long an operation waits for its permits.
const PERMIT_TIMEOUT: Duration = Duration::from_secs(10);

/// The gateway for files.
#[derive(Debug)]
pub(super) struct Files {
    budget: Budget,
    /// Where it is, and whether what agents do stays there.
    pub(super) root: Arc<Root>,
    pool: Arc<BlockingPool>,
    /// Held while an operation takes its two permits: else many could hold one each and wait for
    /// the other for ever.
    taking: Arc<Mutex<()>>,
}

impl Files {
    /// # Errors
    /// The OS error, when no more threads can be started.
    pub(super) fn new(budget: Budget, root: Arc<Root>) -> io::Result<Self> {
        let pool = Arc::new(BlockingPool::start("evonic-file", THREADS)?);
        Ok(Self { budget, root, pool, taking: Arc::new(Mutex::new(())) })
    }

    /// The same gateway and threads for another folder, which is made if it is missing.
    ///
    /// # Errors
    /// [`evonic_backend::WorkplaceError::Root`].
    pub(super) fn at(&self, folder: PathBuf) -> Result<Self> {
        Ok(self.with(self.root.at(folder)?))
    }

    /// As [`Files::at`], for a folder of the service's own: no path leads out of it.
    ///
    /// # Errors
    /// [`evonic_backend::WorkplaceError::Root`].
    pub(super) fn confined_at(&self, folder: PathBuf) -> Result<Self> {
        Ok(self.with(Root::new(folder, true, None)?))
    }

    /// The same gateway and threads for another root.
    pub(super) fn with(&self, root: Root) -> Self {
        let (pool, taking) = (Arc::clone(&self.pool), Arc::clone(&self.taking));
        Self { budget: self.budget.clone(), root: Arc::new(root), pool, taking }
    }

    /// The path of a folder for a command to run in.
    ///
    /// # Errors
    /// [`evonic_backend::WorkplaceError`] when it is no folder, or outside.
    pub(super) async fn folder_path(&self, path: &str) -> Result<PathBuf> {
        self.on_thread("enter", path, |op| {
            let (handle, stat) = op.look()?;
            op.expect_type(&stat, FileType::Directory)?;
            root::real_path(&handle).map_err(|error| op.failed(error))
        })
        .await
    }

    /// Runs an operation on a thread that may block, with its two permits.
    pub(super) async fn on_thread<T: Send + 'static>(
        &self,
        name: &'static str,
        path: &str,
        work: impl FnOnce(Operation<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.operate(name, path, work, |_scope, done| done).await
    }

    /// As [`Files::on_thread`]; `end` gets the permits when the operation has closed what it does
    /// not return.
    async fn operate<T, U: Send + 'static>(
        &self,
        name: &'static str,
        path: &str,
        work: impl FnOnce(Operation<'_>) -> Result<T> + Send + 'static,
        end: impl FnOnce(FdScope, Result<T>) -> Result<U> + Send + 'static,
    ) -> Result<U> {
        let permits = self.permits().await?;
        let (root, path) = (Arc::clone(&self.root), path.to_owned());
        let job = move |waiter: &Waiter<'_>| {
            let (scope, is_waiting) = (FdScope::new(permits), || waiter.is_waiting());
            let done = work(Operation {
                scope: &scope,
                root: &root,
                is_waiting: &is_waiting,
                name,
                path: &path,
            });
            end(scope, done)
        };
        self.pool.run(job).await
    }

    async fn permits(&self) -> Result<[Permit; 2], Exhausted> {
        let both = async {
            let _taking = self.taking.lock().await;
            let first = self.budget.acquire(Kind::File, PERMIT_TIMEOUT).await?;
            Ok([first, self.budget.acquire(Kind::File, PERMIT_TIMEOUT).await?])
        };
        match timeout(PERMIT_TIMEOUT, both).await {
            Ok(permits) => permits,
            Err(_) => Err(self.exhausted()),
        }
    }

    fn exhausted(&self) -> Exhausted {
        let usage = self.budget.usage();
        let limit = usage.iter().find(|usage| usage.kind == Kind::File).map_or(0, |u| u.limit);
        Exhausted { kind: Kind::File, limit, retry_after: PERMIT_TIMEOUT }
    }
}

#[cfg(test)]
mod tests;
