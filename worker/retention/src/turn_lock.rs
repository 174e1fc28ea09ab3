//! Of two workers that overlap one looks after the database: the one that holds this lock, which the
//! kernel frees when it dies.

use std::{os::fd::OwnedFd, path::Path};

use rustix::{
    fs::{FlockOperation, Mode, OFlags},
    io::Errno,
};

/// In the state folder.
const FILE: &str = "retention.lock";

/// The lock, until it is dropped. Holds one descriptor.
#[derive(Debug)]
pub(super) struct TurnLock {
    _lock: OwnedFd,
}

impl TurnLock {
    /// The lock; none while another worker has it.
    ///
    /// # Errors
    /// The OS error when the file cannot be opened or locked.
    pub(super) fn try_take(folder: &Path) -> Result<Option<Self>, Errno> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let lock = rustix::fs::open(folder.join(FILE), flags, Mode::from_raw_mode(0o600))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _lock: lock })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(errno),
        }
    }
}
