//! Files below the root: opened beneath it by the kernel, written atomically.
//!
//! The gateway for `file` descriptors. No operation holds more than two at once, and each takes two
//! permits before it begins. Paths are resolved by `openat2(2)` with `RESOLVE_BENEATH`: a link
//! swapped in at any moment cannot lead outside. Nothing but a regular file or a folder is ever
//! opened for reading: what a path is, is asked of an `O_PATH` handle, which wakes no pipe's other
//! end and no device, and that same object is then opened through `/proc/self/fd`.

mod change;
mod error;
mod fd_scope;
mod list;
mod open;
mod root;
mod search;
mod transfer;
mod write;

use std::{
    io::{self, Read},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use evonic_shared::kind::Kind;
use rustix::fs::FileType;
use tokio::{sync::Mutex, time::timeout};

pub(super) use self::root::Root;
use self::{
    error::{expect_type, failed},
    fd_scope::FdScope,
    open::{look, open_file},
};
use evonic_backend::{
    Change, Entry, Found, Lines, Removal, WorkplaceError, lines, search::rules::Filter,
};
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
    root: Arc<Root>,
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
    /// [`WorkplaceError::Root`].
    pub(super) fn at(&self, folder: PathBuf) -> Result<Self, WorkplaceError> {
        Ok(self.with(Root::new(folder, self.root.is_confined())?))
    }

    /// As [`Files::at`], for a folder of the service's own: no path leads out of it.
    ///
    /// # Errors
    /// [`WorkplaceError::Root`].
    pub(super) fn confined_at(&self, folder: PathBuf) -> Result<Self, WorkplaceError> {
        Ok(self.with(Root::new(folder, true)?))
    }

    fn with(&self, root: Root) -> Self {
        let (pool, taking) = (Arc::clone(&self.pool), Arc::clone(&self.taking));
        Self { budget: self.budget.clone(), root: Arc::new(root), pool, taking }
    }

    /// See [`evonic_backend::Backend::read_lines`].
    pub(super) async fn read_lines(
        &self,
        path: &str,
        from: u64,
        to: Option<u64>,
        limit: u64,
    ) -> Result<Lines, WorkplaceError> {
        let path = path.to_owned();
        self.on_thread(move |scope, root, waiter| {
            let (mut file, stat) = open_file(scope, root, "read", &path)?;
            let size = u64::try_from(stat.st_size).unwrap_or(0);
            let is_waiting = || waiter.is_waiting();
            lines::read(&mut *file, size, lines::Range { from, to, limit }, &is_waiting)
                .map_err(failed("read", &path))
        })
        .await
    }

    /// See [`evonic_backend::Backend::write`].
    pub(super) async fn write(&self, path: &str, content: Vec<u8>) -> Result<(), WorkplaceError> {
        let path = path.to_owned();
        self.on_thread(move |scope, root, _| write::write(scope, root, &path, &content)).await
    }

    /// See [`evonic_backend::Backend::edit`].
    pub(super) async fn edit(
        &self,
        path: &str,
        limit_bytes: u64,
        change: Change,
    ) -> Result<(), WorkplaceError> {
        let path = path.to_owned();
        self.on_thread(move |scope, root, _| {
            let (mut file, stat) = open_file(scope, root, "read", &path)?;
            let mut content = Vec::new();
            let read = (&mut *file).take(limit_bytes.saturating_add(1)).read_to_end(&mut content);
            read.map_err(failed("read", &path))?;
            drop(file);
            if content.len() as u64 > limit_bytes {
                let size_bytes = u64::try_from(stat.st_size).unwrap_or(0);
                return Err(WorkplaceError::TooLarge { path, size_bytes, limit_bytes });
            }
            match change(&content) {
                Some(content) => write::write_back(scope, root, &path, &content, &stat),
                None => Ok(()),
            }
        })
        .await
    }

    /// See [`evonic_backend::Backend::list`].
    pub(super) async fn list(
        &self,
        path: &str,
        depth: u32,
        limit: u32,
    ) -> Result<(Vec<Entry>, bool), WorkplaceError> {
        let path = path.to_owned();
        self.on_thread(move |scope, root, waiter| {
            list::list(scope, root, &path, depth, limit as usize, waiter)
        })
        .await
    }

    /// See [`evonic_backend::Backend::search`].
    pub(super) async fn search(
        &self,
        pattern: &str,
        path: &str,
        glob: Option<&str>,
        limit: u32,
    ) -> Result<Found, WorkplaceError> {
        let path = path.to_owned();
        let filter = Filter::new(pattern, glob)?;
        self.on_thread(move |scope, root, waiter| {
            search::search(scope, root, &path, &filter, limit as usize, waiter)
        })
        .await
    }

    /// See [`evonic_backend::Backend::stat`].
    pub(super) async fn stat(&self, path: &str) -> Result<evonic_backend::Stat, WorkplaceError> {
        let path = path.to_owned();
        self.on_thread(move |scope, root, _| change::stat(scope, root, &path)).await
    }

    /// See [`evonic_backend::Backend::make_folder`].
    pub(super) async fn make_folder(&self, path: &str) -> Result<(), WorkplaceError> {
        let path = path.to_owned();
        self.on_thread(move |scope, root, _| change::make_folder(scope, root, &path)).await
    }

    /// See [`evonic_backend::Backend::remove`].
    pub(super) async fn remove(&self, path: &str, removal: Removal) -> Result<(), WorkplaceError> {
        let path = path.to_owned();
        self.on_thread(move |scope, root, waiter| {
            change::remove(scope, root, &path, removal, waiter)
        })
        .await
    }

    /// See [`evonic_backend::Backend::rename`].
    pub(super) async fn rename(&self, from: &str, to: &str) -> Result<(), WorkplaceError> {
        let (from, to) = (from.to_owned(), to.to_owned());
        self.on_thread(move |scope, root, _| change::rename(scope, root, &from, &to)).await
    }

    /// The path of a folder for a command to run in.
    ///
    /// # Errors
    /// [`WorkplaceError`] when it is no folder, or outside.
    pub(super) async fn folder_path(&self, path: &str) -> Result<PathBuf, WorkplaceError> {
        let path = path.to_owned();
        self.on_thread(move |scope, root, _| {
            let (handle, stat) = look(scope, root, "enter", &path)?;
            expect_type(&path, &stat, FileType::Directory)?;
            root::real_path(&handle).map_err(failed("enter", &path))
        })
        .await
    }

    /// Where it is, and whether what agents do stays there.
    pub(super) const fn root(&self) -> &Arc<Root> {
        &self.root
    }

    /// Runs an operation on a thread that may block, with its two permits.
    async fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&FdScope, &Root, &Waiter<'_>) -> Result<T, WorkplaceError> + Send + 'static,
    ) -> Result<T, WorkplaceError> {
        let permits = self.permits().await?;
        let root = Arc::clone(&self.root);
        self.pool.run(move |waiter| work(&FdScope::new(permits), &root, waiter)).await
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
