//! Ownership of turns by a kernel lock that dies with the process.
//!
//! A lock file is made and locked under a name of its own, `N.lock.new`, and only then renamed to
//! `N.lock`. So a file under its final name has been locked for as long as its worker lives: who
//! finds it free knows that the worker is dead, and may remove it without a race against one that
//! is just starting.

use std::{
    collections::BTreeSet,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, FlockOperation, Mode, OFlags, RenameFlags},
    io::Errno,
};

/// A lock cannot be taken or tried.
#[derive(Debug, thiserror::Error)]
#[error("{operation} of generation {generation} failed")]
pub struct OwnershipError {
    operation: &'static str,
    generation: u64,
    #[source]
    source: io::Error,
}

impl OwnershipError {
    /// The error of an operation from that of the OS.
    fn of<E: Into<io::Error>>(operation: &'static str, generation: u64) -> impl Fn(E) -> Self {
        move |error| Self { operation, generation, source: error.into() }
    }
}

/// This worker's generation, with its lock held for as long as it lives.
#[derive(Debug)]
pub struct Generation {
    number: u64,
    folder: PathBuf,
    /// Closing it, which the kernel does at the process's end at the latest, frees the lock.
    _lock: OwnedFd,
}

impl Generation {
    /// Locks `FOLDER/NUMBER.lock`, made if missing. Holds one descriptor.
    ///
    /// # Errors
    /// [`OwnershipError`] when it cannot be made, or another process holds it.
    pub fn lock(folder: &Path, number: u64) -> Result<Self, OwnershipError> {
        let failed = OwnershipError::of("lock", number);
        for _ in 0..ATTEMPTS {
            if !Self::is_dead(folder, number)? {
                return Err(failed(Errno::BUSY));
            }
            match make_locked(folder, number) {
                Ok(lock) => return Ok(Self { number, folder: folder.to_owned(), _lock: lock }),
                // Another worker's start swept the file away before it was locked.
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
        Err(failed(Errno::BUSY))
    }

    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The folder of this and every other generation's lock.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether the worker of another generation is dead: its lock is free or its file is gone.
    /// Removes the file of a dead one.
    ///
    /// # Errors
    /// [`OwnershipError`] when the lock cannot be tried.
    pub fn is_dead(folder: &Path, number: u64) -> Result<bool, OwnershipError> {
        let failed = OwnershipError::of("trying the lock", number);
        sweep(&path_of(folder, number)).map_err(failed)
    }

    /// The generations other than `own` whose workers live. Removes what dead ones left.
    ///
    /// # Errors
    /// [`OwnershipError`] when the folder cannot be read or a lock cannot be tried.
    pub(super) fn living(folder: &Path, own: u64) -> Result<BTreeSet<u64>, OwnershipError> {
        let failed = OwnershipError::of("looking for the rivals", own);
        let mut living = BTreeSet::new();
        for entry in std::fs::read_dir(folder).map_err(&failed)? {
            let name = entry.map_err(&failed)?.file_name();
            let Some(number) = name.to_str().and_then(number_of) else { continue };
            if number == own {
                continue;
            }
            if !Self::is_dead(folder, number)? {
                living.insert(number);
            }
            sweep(&new_path_of(folder, number)).map_err(|errno| failed(errno.into()))?;
        }
        Ok(living)
    }
}

/// How often a start that was swept away is tried. Each failure needs another worker to sweep
/// within the microsecond between making the file and locking it.
const ATTEMPTS: u32 = 100;

/// The number in `N.lock` or `N.lock.new`.
fn number_of(name: &str) -> Option<u64> {
    name.strip_suffix(".new").unwrap_or(name).strip_suffix(".lock")?.parse().ok()
}

fn path_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number}.lock"))
}

fn new_path_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number}.lock.new"))
}

fn make_locked(folder: &Path, number: u64) -> Result<OwnedFd, Errno> {
    let (path, new) = (path_of(folder, number), new_path_of(folder, number));
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let lock = rustix::fs::open(&new, flags, Mode::from_raw_mode(0o640))?;
    // Waits only for a sweeper that is about to remove the file, or for another process of
    // the same generation that is about to rename it: both within microseconds.
    rustix::io::retry_on_intr(|| rustix::fs::flock(&lock, FlockOperation::LockExclusive))?;
    match rustix::fs::renameat_with(CWD, &new, CWD, &path, RenameFlags::NOREPLACE) {
        // Some file systems cannot rename without replacing; all that can lock know links.
        Err(Errno::INVAL) => {
            rustix::fs::link(&new, &path)?;
            remove(&new)?;
        }
        renamed => renamed?,
    }
    // What was renamed is another process's file if one of the same generation came in between.
    if is_at(&lock, &path)? { Ok(lock) } else { Err(Errno::BUSY) }
}

/// Removes a lock file whose lock is free. Returns whether there is none that is held.
fn sweep(path: &Path) -> Result<bool, Errno> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    loop {
        let lock = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(lock) => lock,
            Err(Errno::NOENT) => return Ok(true),
            Err(errno) => return Err(errno),
        };
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(errno) => return Err(errno),
        }
        // Only what is locked here and still has the name is removed: a file that took the name
        // meanwhile is looked at anew.
        if is_at(&lock, path)? {
            remove(path)?;
            return Ok(true);
        }
    }
}

/// Whether `path` is the open file.
fn is_at(file: &OwnedFd, path: &Path) -> Result<bool, Errno> {
    let open = rustix::fs::fstat(file)?;
    match rustix::fs::lstat(path) {
        Ok(named) => Ok((open.st_dev, open.st_ino) == (named.st_dev, named.st_ino)),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Removes a file that may be gone already.
fn remove(path: &Path) -> Result<(), Errno> {
    match rustix::fs::unlinkat(CWD, path, rustix::fs::AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Where the locks of generations are.
#[must_use]
pub fn generations_folder(state_dir: &Path) -> PathBuf {
    state_dir.join("generations")
}

#[cfg(test)]
mod tests;
