//! A real folder behind a link that breaks, and that counts what goes through it.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;

use evonic_backend::{
    Backend, Change, Commands, Download, Entry, Found, Lines, Removal, Rewrite, Stage, Stat,
    Upload, WorkplaceError, Written, error::Cause,
};
use evonic_domain::WorkplaceKind;
use evonic_local::Local;

/// What goes wrong.
#[derive(Debug)]
pub(super) struct Faults {
    cuts: AtomicI64,
    /// Bytes between two cuts.
    every: usize,
    since: AtomicUsize,
    changes: AtomicI64,
    changing: PathBuf,
    read: AtomicU64,
    alive: Arc<AtomicUsize>,
    most_alive: AtomicUsize,
}

impl Faults {
    pub(super) fn none() -> Self {
        Self::cuts(0, usize::MAX)
    }

    /// The link breaks this often, each time after so many bytes.
    pub(super) fn cuts(cuts: i64, every: usize) -> Self {
        Self {
            cuts: AtomicI64::new(cuts),
            every,
            since: AtomicUsize::new(0),
            changes: AtomicI64::new(0),
            changing: PathBuf::new(),
            read: AtomicU64::new(0),
            alive: Arc::default(),
            most_alive: AtomicUsize::new(0),
        }
    }

    /// A file grows this often while it is read.
    pub(super) fn changes(changes: i64, file: PathBuf) -> Self {
        Self { changes: AtomicI64::new(changes), changing: file, ..Self::none() }
    }

    pub(super) fn read(&self) -> u64 {
        self.read.load(SeqCst)
    }

    pub(super) fn most_alive(&self) -> usize {
        self.most_alive.load(SeqCst)
    }

    fn pass(&self, bytes: usize) -> Result<(), WorkplaceError> {
        let since = self.since.fetch_add(bytes, SeqCst) + bytes;
        if since >= self.every && self.cuts.fetch_sub(1, SeqCst) > 0 {
            self.since.store(0, SeqCst);
            return Err(WorkplaceError::Unreachable {
                host: "far".to_owned(),
                stage: Stage::Read,
                source: Cause("the link is cut".to_owned()),
            });
        }
        Ok(())
    }

    fn change(&self) {
        if self.changes.fetch_sub(1, SeqCst) > 0 {
            let mut content = std::fs::read(&self.changing).expect("a file");
            content.push(0);
            std::fs::write(&self.changing, content).expect("a file");
        }
    }

    /// A piece that is counted for as long as it lives.
    fn counted(&self, piece: Bytes) -> Bytes {
        let alive = self.alive.fetch_add(piece.len(), SeqCst) + piece.len();
        self.most_alive.fetch_max(alive, SeqCst);
        Bytes::from_owner(Counted { piece, alive: Arc::clone(&self.alive) })
    }
}

struct Counted {
    piece: Bytes,
    alive: Arc<AtomicUsize>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.piece
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.alive.fetch_sub(self.piece.len(), SeqCst);
    }
}

/// The folder behind the link.
#[derive(Debug)]
pub(super) struct Flaky {
    local: Local,
    faults: Arc<Faults>,
}

impl Flaky {
    pub(super) fn new(local: Local, faults: Arc<Faults>) -> Self {
        Self { local, faults }
    }
}

struct FlakyUpload {
    inner: Box<dyn Upload>,
    faults: Arc<Faults>,
}

#[async_trait]
impl Upload for FlakyUpload {
    fn safe_bytes(&self) -> u64 {
        self.inner.safe_bytes()
    }

    async fn write(&mut self, bytes: Bytes) -> Result<(), WorkplaceError> {
        self.faults.pass(bytes.len())?;
        self.inner.write(bytes).await
    }

    async fn sha256(&mut self) -> Result<String, WorkplaceError> {
        self.inner.sha256().await
    }

    async fn finish(self: Box<Self>, mode: Option<u32>) -> Result<Written, WorkplaceError> {
        self.inner.finish(mode).await
    }

    async fn discard(self: Box<Self>) -> Result<(), WorkplaceError> {
        self.inner.discard().await
    }
}

#[async_trait]
impl Backend for Flaky {
    fn kind(&self) -> WorkplaceKind {
        self.local.kind()
    }

    async fn home(&self) -> Result<String, WorkplaceError> {
        self.local.home().await
    }

    fn commands(&self) -> &dyn Commands {
        self.local.commands()
    }

    async fn stat(&self, path: &str) -> Result<Stat, WorkplaceError> {
        self.local.stat(path).await
    }

    async fn read_lines(
        &self,
        path: &str,
        from: u64,
        to: Option<u64>,
        limit: u64,
    ) -> Result<Lines, WorkplaceError> {
        Backend::read_lines(&self.local, path, from, to, limit).await
    }

    async fn write(
        &self,
        path: &str,
        content: Bytes,
        rewrite: Rewrite,
    ) -> Result<Written, WorkplaceError> {
        Backend::write(&self.local, path, content, rewrite).await
    }

    async fn edit(
        &self,
        path: &str,
        limit_bytes: u64,
        change: Change,
        rewrite: Rewrite,
    ) -> Result<Written, WorkplaceError> {
        Backend::edit(&self.local, path, limit_bytes, change, rewrite).await
    }

    async fn list(
        &self,
        path: &str,
        depth: u32,
        limit: u32,
    ) -> Result<(Vec<Entry>, bool), WorkplaceError> {
        Backend::list(&self.local, path, depth, limit).await
    }

    async fn search(
        &self,
        pattern: &str,
        path: &str,
        glob: Option<&str>,
        limit: u32,
    ) -> Result<Found, WorkplaceError> {
        Backend::search(&self.local, pattern, path, glob, limit).await
    }

    async fn make_folder(&self, path: &str) -> Result<(), WorkplaceError> {
        self.local.make_folder(path).await
    }

    async fn remove(&self, path: &str, removal: Removal) -> Result<(), WorkplaceError> {
        self.local.remove(path, removal).await
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), WorkplaceError> {
        self.local.rename(from, to).await
    }

    async fn download(&self, path: &str, from: u64) -> Result<Download, WorkplaceError> {
        let Download { stat, bytes } = self.local.download(path, from).await?;
        let faults = Arc::clone(&self.faults);
        faults.change();
        let bytes = bytes.map(move |piece| {
            let piece = piece?;
            faults.pass(piece.len())?;
            faults.read.fetch_add(piece.len() as u64, SeqCst);
            Ok(faults.counted(piece))
        });
        Ok(Download { stat, bytes: bytes.boxed() })
    }

    async fn upload(&self, path: &str, id: &str) -> Result<Box<dyn Upload>, WorkplaceError> {
        let inner = self.local.upload(path, id).await?;
        Ok(Box::new(FlakyUpload { inner, faults: Arc::clone(&self.faults) }))
    }

    async fn sha256(&self, path: &str) -> Result<String, WorkplaceError> {
        self.local.sha256(path).await
    }
}
