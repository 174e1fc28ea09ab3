//! Files below the root: opened beneath it by the kernel, written atomically.
//!
//! The gate for `file` descriptors. No operation holds more than two at once, and each takes two
//! permits before it begins. Paths are resolved by `openat2(2)` with `RESOLVE_BENEATH`: a link
//! swapped in at any moment cannot lead outside. Nothing but a regular file or a folder is ever
//! opened for reading: what a path is, is asked of an `O_PATH` handle, which wakes no pipe's other
//! end and no device, and that same object is then opened through `/proc/self/fd`.

mod change;
mod desk;
mod list;
mod root;
mod search;
mod transfer;
mod write;

use std::{
    io::{self, Read},
    os::fd::OwnedFd,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use evonic_shared::kind::Kind;
use rustix::fs::{FileType, Mode, OFlags, Stat, fstat};
use tokio::{sync::Mutex, time::timeout};

use self::desk::{Desk, Opened};
pub(super) use self::root::Root;
use super::{Entry, Found, Lines, WorkplaceError, pool::Pool};
use evonic_backend::lines;
use evonic_backend::{Removal, search::rules::Filter};
use evonic_handles::{Budget, Exhausted, Permit};

/// Threads that wait for disks.
const THREADS: usize = 4;

/// How long an operation waits for its permits.
const PATIENCE: Duration = Duration::from_secs(10);

/// The gate for files.
#[derive(Debug)]
pub(super) struct Files {
    budget: Budget,
    root: Arc<Root>,
    pool: Arc<Pool>,
    /// Held while an operation takes its two permits: else many could hold one each and wait for
    /// the other for ever.
    door: Arc<Mutex<()>>,
}

impl Files {
    /// # Errors
    /// The operating system's, when it gives no more threads.
    pub(super) fn new(budget: Budget, root: Arc<Root>) -> io::Result<Self> {
        let pool = Arc::new(Pool::start("evonic-file", THREADS)?);
        Ok(Self { budget, root, pool, door: Arc::new(Mutex::new(())) })
    }

    /// The same gate and threads for another folder, which is made if it is missing.
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
        let (pool, door) = (Arc::clone(&self.pool), Arc::clone(&self.door));
        Self { budget: self.budget.clone(), root: Arc::new(root), pool, door }
    }

    /// See [`super::Local::read`].
    pub(super) async fn read(
        &self,
        path: &str,
        offset: u64,
        limit: u64,
    ) -> Result<(Vec<u8>, u64), WorkplaceError> {
        let path = path.to_owned();
        self.on_thread(move |desk, root, _| {
            let (mut file, stat) = open_file(desk, root, "read", &path)?;
            let size = u64::try_from(stat.st_size).unwrap_or(0);
            let content = read_part(&mut file, offset, limit).map_err(failed("read", &path))?;
            // Files of `/proc` say that they are empty.
            let seen = offset.saturating_add(content.len() as u64);
            let size = if content.is_empty() { size } else { size.max(seen) };
            Ok((content, size))
        })
        .await
    }

    /// See [`super::Local::read_lines`].
    pub(super) async fn read_lines(
        &self,
        path: &str,
        from: u64,
        to: Option<u64>,
        limit: u64,
    ) -> Result<Lines, WorkplaceError> {
        let path = path.to_owned();
        self.on_thread(move |desk, root, wanted| {
            let (mut file, stat) = open_file(desk, root, "read", &path)?;
            let size = u64::try_from(stat.st_size).unwrap_or(0);
            let still = || wanted.still();
            lines::read(&mut *file, size, lines::Range { from, to, limit }, &still)
                .map_err(failed("read", &path))
        })
        .await
    }

    /// See [`super::Local::write`].
    pub(super) async fn write(&self, path: &str, content: Vec<u8>) -> Result<(), WorkplaceError> {
        let path = path.to_owned();
        self.on_thread(move |desk, root, _| write::write(desk, root, &path, &content)).await
    }

    /// See [`super::Local::edit`].
    pub(super) async fn edit<T: Send + 'static, E: Send + 'static>(
        &self,
        path: &str,
        limit_bytes: u64,
        change: impl FnOnce(&[u8]) -> Result<(Vec<u8>, T), E> + Send + 'static,
    ) -> Result<Result<T, E>, WorkplaceError> {
        let path = path.to_owned();
        self.on_thread(move |desk, root, _| {
            let (mut file, stat) = open_file(desk, root, "read", &path)?;
            let content = read_part(&mut file, 0, limit_bytes.saturating_add(1));
            let content = content.map_err(failed("read", &path))?;
            drop(file);
            if content.len() as u64 > limit_bytes {
                let size_bytes = u64::try_from(stat.st_size).unwrap_or(0);
                return Err(WorkplaceError::TooLarge { path, size_bytes, limit_bytes });
            }
            match change(&content) {
                Ok((content, value)) => {
                    write::write_back(desk, root, &path, &content, &stat).map(|()| Ok(value))
                }
                Err(refusal) => Ok(Err(refusal)),
            }
        })
        .await
    }

    /// See [`super::Local::list`].
    pub(super) async fn list(
        &self,
        path: &str,
        depth: u32,
        limit: u32,
    ) -> Result<(Vec<Entry>, bool), WorkplaceError> {
        let path = path.to_owned();
        self.on_thread(move |desk, root, wanted| {
            list::list(desk, root, &path, depth, limit as usize, wanted)
        })
        .await
    }

    /// See [`super::Local::search`].
    pub(super) async fn search(
        &self,
        pattern: &str,
        path: &str,
        glob: Option<&str>,
        limit: u32,
    ) -> Result<Found, WorkplaceError> {
        let path = path.to_owned();
        let filter = Filter::new(pattern, glob)?;
        self.on_thread(move |desk, root, wanted| {
            search::search(desk, root, &path, &filter, limit as usize, wanted)
        })
        .await
    }

    /// See [`evonic_backend::Backend::stat`].
    pub(super) async fn stat(&self, path: &str) -> Result<evonic_backend::Stat, WorkplaceError> {
        let path = path.to_owned();
        self.on_thread(move |desk, root, _| change::stat(desk, root, &path)).await
    }

    /// See [`evonic_backend::Backend::make_folder`].
    pub(super) async fn make_folder(&self, path: &str) -> Result<(), WorkplaceError> {
        let path = path.to_owned();
        self.on_thread(move |desk, root, _| change::make_folder(desk, root, &path)).await
    }

    /// See [`evonic_backend::Backend::remove`].
    pub(super) async fn remove(&self, path: &str, removal: Removal) -> Result<(), WorkplaceError> {
        let path = path.to_owned();
        self.on_thread(move |desk, root, wanted| change::remove(desk, root, &path, removal, wanted))
            .await
    }

    /// See [`evonic_backend::Backend::rename`].
    pub(super) async fn rename(&self, from: &str, to: &str) -> Result<(), WorkplaceError> {
        let (from, to) = (from.to_owned(), to.to_owned());
        self.on_thread(move |desk, root, _| change::rename(desk, root, &from, &to)).await
    }

    /// The path of a folder for a command to run in.
    ///
    /// # Errors
    /// [`WorkplaceError`] when it is no folder, or outside.
    pub(super) async fn folder_path(&self, path: &str) -> Result<PathBuf, WorkplaceError> {
        let path = path.to_owned();
        self.on_thread(move |desk, root, _| {
            let (handle, stat) = look(desk, root, "enter", &path)?;
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
        work: impl FnOnce(&Desk, &Root, &super::pool::Wanted<'_>) -> Result<T, WorkplaceError>
        + Send
        + 'static,
    ) -> Result<T, WorkplaceError> {
        let permits = self.permits().await?;
        let root = Arc::clone(&self.root);
        self.pool.run(move |wanted| work(&Desk::new(permits), &root, wanted)).await
    }

    async fn permits(&self) -> Result<[Permit; 2], Exhausted> {
        let both = async {
            let _door = self.door.lock().await;
            let first = self.budget.acquire(Kind::File, PATIENCE).await?;
            Ok([first, self.budget.acquire(Kind::File, PATIENCE).await?])
        };
        match timeout(PATIENCE, both).await {
            Ok(permits) => permits,
            Err(_) => Err(self.exhausted()),
        }
    }

    fn exhausted(&self) -> Exhausted {
        let usage = self.budget.usage();
        let limit = usage.iter().find(|usage| usage.kind == Kind::File).map_or(0, |u| u.limit);
        Exhausted { kind: Kind::File, limit, retry_after: PATIENCE }
    }
}

/// An error of an operation on a path.
fn failed(operation: &'static str, path: &str) -> impl Fn(io::Error) -> WorkplaceError + use<> {
    let path = path.to_owned();
    move |source| WorkplaceError::Path { operation, path: path.clone(), source }
}

/// Opens a regular file for reading.
fn open_file<'d>(
    desk: &'d Desk,
    root: &Root,
    operation: &'static str,
    path: &str,
) -> Result<(Opened<'d, std::fs::File>, Stat), WorkplaceError> {
    let (handle, stat) = look(desk, root, operation, path)?;
    expect_type(path, &stat, FileType::RegularFile)?;
    let file = reopen(desk, &handle, OFlags::RDONLY).map_err(failed(operation, path))?;
    Ok((file.map(std::fs::File::from), stat))
}

/// A handle that says what a path is and does nothing to it.
fn look<'d>(
    desk: &'d Desk,
    root: &Root,
    operation: &'static str,
    path: &str,
) -> Result<(Opened<'d, OwnedFd>, Stat), WorkplaceError> {
    let handle = root.open(desk, operation, path, OFlags::PATH)?;
    let stat = fstat(&*handle).map_err(|error| failed(operation, path)(error.into()))?;
    Ok((handle, stat))
}

/// Opens what a handle stands for, and nothing else, whatever its path leads to by now.
fn reopen<'d>(desk: &'d Desk, handle: &OwnedFd, flags: OFlags) -> io::Result<Opened<'d, OwnedFd>> {
    use std::os::fd::AsRawFd;
    let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let path = format!("/proc/self/fd/{}", handle.as_raw_fd());
    desk.open(|| Ok(rustix::fs::open(path, flags, Mode::empty())?))
}

fn expect_type(path: &str, stat: &Stat, needed: FileType) -> Result<(), WorkplaceError> {
    let found = FileType::from_raw_mode(stat.st_mode);
    if found == needed {
        return Ok(());
    }
    let (found, needed) = (described(found), described(needed));
    Err(WorkplaceError::WrongType { path: path.to_owned(), found, needed })
}

const fn described(file_type: FileType) -> &'static str {
    match file_type {
        FileType::RegularFile => "a regular file",
        FileType::Directory => "a folder",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a named pipe",
        FileType::Socket => "a socket",
        FileType::CharacterDevice => "a character device",
        FileType::BlockDevice => "a block device",
        FileType::Unknown => "of an unknown kind",
    }
}

fn read_part(file: &mut std::fs::File, offset: u64, limit: u64) -> io::Result<Vec<u8>> {
    use std::io::{Seek, SeekFrom};
    file.seek(SeekFrom::Start(offset))?;
    let mut content = Vec::new();
    file.take(limit).read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests;
