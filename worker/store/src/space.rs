//! Whether the database's file system has room.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use rustix::fs::statvfs;

use crate::StoreError;

/// With less than this left the next writes fail.
const SPENT_BYTES: u64 = 64 << 10;

/// With this much writes are likely to go on.
const ENOUGH_BYTES: u64 = 256 << 10;

/// Whether no space is left for the database.
pub(super) fn is_spent(path: &Path) -> bool {
    free_bytes(path).is_some_and(|free| free < SPENT_BYTES)
}

/// Whether there is space for some writes.
pub(super) fn is_enough(path: &Path) -> bool {
    free_bytes(path).is_none_or(|free| free >= ENOUGH_BYTES)
}

/// Where it was too little, there must be this part more than enough before it is enough again.
const MORE: u64 = 8;

/// The bytes that stay free (`retention.min_free`), and whether they do.
#[derive(Debug)]
pub(super) struct Room {
    path: PathBuf,
    min_free: AtomicU64,
    is_low: AtomicBool,
}

impl Room {
    /// The room for a database at this path; it may be filled until it is said how much stays free.
    pub(super) fn new(path: &Path) -> Self {
        let (min_free, is_low) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { path: path.to_owned(), min_free, is_low }
    }

    /// From now on so many bytes stay free.
    pub(super) fn keep(&self, min_free: u64) {
        self.min_free.store(min_free, Ordering::Relaxed);
        self.is_low();
    }

    pub(super) fn min_free(&self) -> u64 {
        self.min_free.load(Ordering::Relaxed)
    }

    pub(super) fn free(&self) -> Option<u64> {
        free_bytes(&self.path)
    }

    /// Whether less is free than stays free. Once it is, a little more is needed until it is not.
    pub(super) fn is_low(&self) -> bool {
        let (min_free, was_low) = (self.min_free(), self.is_low.load(Ordering::Relaxed));
        let free = self.free();
        let enough = if was_low { min_free.saturating_add(min_free / MORE) } else { min_free };
        let is_low = free.is_some_and(|free| free < enough);
        if self.is_low.swap(is_low, Ordering::Relaxed) != is_low {
            let (folder, free) = (self.folder(), free.unwrap_or(0));
            if is_low {
                tracing::warn!(
                    folder,
                    free_bytes = free,
                    min_free_bytes = min_free,
                    "too little room: new messages and sessions are refused"
                );
            } else {
                tracing::info!(folder, free_bytes = free, "enough room again");
            }
        }
        is_low
    }

    /// Whether less than half is free of what stays free.
    pub(super) fn is_spent(&self) -> bool {
        self.free().is_some_and(|free| free < self.min_free() / 2)
    }

    /// Refuses what is new while too little is free.
    pub(super) fn require(&self) -> Result<(), StoreError> {
        if self.is_low() { Err(self.error()) } else { Ok(()) }
    }

    /// Why there is no room.
    pub(super) fn error(&self) -> StoreError {
        StoreError::LowSpace {
            folder: self.folder(),
            free_bytes: self.free().unwrap_or(0),
            min_free_bytes: self.min_free(),
        }
    }

    fn folder(&self) -> String {
        self.path.parent().unwrap_or(&self.path).display().to_string()
    }
}

/// What this process may still fill; none where the file system does not say.
fn free_bytes(path: &Path) -> Option<u64> {
    let space = statvfs(path.parent()?).ok()?;
    // Some file systems have no blocks to count.
    if space.f_blocks == 0 {
        return None;
    }
    let is_root = rustix::process::geteuid().is_root();
    let blocks = if is_root { space.f_bfree } else { space.f_bavail };
    Some(blocks.saturating_mul(space.f_frsize))
}
