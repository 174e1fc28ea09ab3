//! Whether the database's file system has room.

use std::path::Path;

use rustix::fs::statvfs;

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
