//! What the kernel knows about this process.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use evonic_shared::kind::Kind;
use rustix::process::{Resource, getrlimit};

use evonic_handles::Budget;

/// Open descriptors: the size of `/proc/self/fd`, which takes none itself. Nothing before
/// Linux 6.2, where that size is 0.
pub(super) fn open_descriptors() -> Option<u64> {
    std::fs::metadata("/proc/self/fd").ok().map(|folder| folder.len()).filter(|&count| count > 0)
}

/// The soft limit of descriptors (`RLIMIT_NOFILE`); nothing when there is none.
pub(super) fn max_descriptors() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Resident memory, in bytes. Opens `/proc/self/statm` under a `file` permit; nothing when none
/// is free.
pub(super) fn resident_bytes(budget: &Budget) -> Option<u64> {
    let mut permit = budget.try_acquire(Kind::File).ok()?;
    permit.owns(1, None);
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// When this process started, in seconds since the epoch, by how long it has run.
pub(super) fn start_time_seconds(uptime: Duration) -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(uptime).as_secs_f64()
}
