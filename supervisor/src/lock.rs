//! One supervisor for a runtime folder.

use std::{
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, OFlags},
    io::Errno,
};

use crate::disk::{self, FileError};

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error(
        "another evonic-supervisor serves {}: stop it, or choose another runtime_dir \
         (EVONIC_RUNTIME_DIR) and state_dir (EVONIC_STATE_DIR)",
        folder.display()
    )]
    Taken { folder: PathBuf },
    #[error(transparent)]
    Lock(#[from] FileError),
}

/// One descriptor. The kernel releases the lock with the process, however that ends.
#[derive(Debug)]
pub struct Lock {
    _file: OwnedFd,
}

impl Lock {
    /// Locks a folder, without waiting.
    pub fn take(folder: &Path) -> Result<Self, LockError> {
        let path = folder.join("supervisor.lock");
        let file = disk::open(&path, OFlags::WRONLY | OFlags::CREATE)
            .map_err(FileError::new("lock", &path))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: file.into() }),
            Err(Errno::WOULDBLOCK) => Err(LockError::Taken { folder: folder.to_owned() }),
            Err(errno) => Err(FileError::new("lock", &path)(errno).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_one_is_refused_until_the_first_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let first = Lock::take(folder.path()).unwrap();
        assert!(matches!(Lock::take(folder.path()), Err(LockError::Taken { .. })));
        drop(first);
        Lock::take(folder.path()).unwrap();
    }
}
