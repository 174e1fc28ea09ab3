//! Workers of a supervisor that was killed: they drain, and hold its listeners until they have begun
//! to.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use evonic_shared::error_chain::ErrorChain;
use rustix::{
    event::Timespec,
    fs::{FlockOperation, Mode, OFlags},
};

use super::SocketError;

/// The time that an orphan has to drain, and some more to end in.
const DRAIN: Duration = Duration::from_secs(7);

/// One that has no generation yet, or is not seen, is gone within this time.
const UNSEEN: Duration = Duration::from_secs(1);

/// Between two tries.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// Every worker that lives while a supervisor starts is an orphan.
#[derive(Debug)]
pub(super) struct Orphans {
    /// The locks of generations, each held by its worker.
    folder: PathBuf,
}

impl Orphans {
    pub(super) fn of(state_dir: &Path) -> Self {
        Self { folder: state_dir.join("generations") }
    }

    /// Tries to bind, again and again while an orphan may hold the address.
    ///
    /// # Errors
    /// The last try's.
    pub(super) fn outwait<T>(
        &self,
        mut bind: impl FnMut() -> Result<T, SocketError>,
    ) -> Result<T, SocketError> {
        let began = Instant::now();
        let mut is_logged = false;
        loop {
            let error = match bind() {
                Err(error @ (SocketError::AddressInUse { .. } | SocketError::PathInUse { .. })) => {
                    error
                }
                bound_or_failed => return bound_or_failed,
            };
            let limit = if self.live() { DRAIN } else { UNSEEN };
            if began.elapsed() >= limit {
                return Err(error);
            }
            if limit == DRAIN && !is_logged {
                is_logged = true;
                tracing::warn!(
                    error = %ErrorChain(&error),
                    "a worker of the last supervisor still drains: trying again for 7 s"
                );
            }
            // There is nothing to be woken by.
            let _ = rustix::event::poll(&mut [], Some(&PAUSE));
        }
    }

    /// Whether a worker lives.
    fn live(&self) -> bool {
        let Ok(entries) = fs::read_dir(&self.folder) else { return false };
        entries.flatten().any(|entry| is_locked(&entry.path()))
    }
}

fn is_locked(path: &Path) -> bool {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let Ok(file) = rustix::fs::open(path, flags, Mode::empty()) else { return false };
    let lock = rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared);
    lock == Err(rustix::io::Errno::WOULDBLOCK)
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener};

    use super::*;
    use crate::disk;

    #[test]
    fn an_orphan_is_outwaited_and_a_stranger_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let locks = folder.path().join("generations");
        fs::create_dir(&locks).unwrap();
        let orphans = Orphans::of(folder.path());
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let taken = || Err::<TcpListener, _>(SocketError::AddressInUse { address });

        let began = Instant::now();
        assert!(orphans.outwait(taken).is_err());
        assert!(began.elapsed() < DRAIN / 2, "{:?}", began.elapsed());

        let flags = OFlags::RDWR | OFlags::CREATE;
        let lock = disk::open(&locks.join("7.lock"), flags).unwrap();
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
        let began = Instant::now();
        let bound = orphans.outwait(|| match began.elapsed() {
            short if short < UNSEEN * 2 => taken(),
            _ => TcpListener::bind(address).map_err(|source| SocketError::Tcp { address, source }),
        });
        assert!(bound.is_ok());
    }
}
