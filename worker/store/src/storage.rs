//! How large the database is, as it was looked at last.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use evonic_shared::store_report::StorageReport;
use parking_lot::Mutex;
use rusqlite::Connection;

use crate::{column, space::Room, vacuum};

/// The size of one database, and what was taken away of it. Shared by cloning.
#[derive(Clone, Debug, Default)]
pub struct Storage {
    current: Arc<Mutex<Option<StorageReport>>>,
    gone: Arc<Gone>,
}

/// What retention took away since this process started.
#[derive(Debug, Default)]
struct Gone {
    sessions: AtomicU64,
    events: AtomicU64,
    bytes: AtomicU64,
}

impl Storage {
    /// The last look; none before the first.
    #[must_use]
    pub fn report(&self) -> Option<StorageReport> {
        self.current.lock().clone()
    }

    /// Looks at what the file's header and the file system say: no row is read.
    pub(super) fn measure(&self, connection: &Connection, path: &Path, room: &Room) {
        let Ok(pages) = vacuum::Pages::of(connection) else { return };
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let mut current = self.current.lock();
        let report = current.get_or_insert_default();
        report.database_bytes = pages.count.saturating_mul(pages.bytes);
        report.free_bytes = pages.free.saturating_mul(pages.bytes);
        report.log_bytes = std::fs::metadata(log).map_or(0, |log| log.len());
        report.shrinks = pages.shrink;
        report.disk_free_bytes = room.free();
        report.min_free_bytes = room.min_free();
        report.is_low = room.is_low();
    }

    /// Counts what was taken away: sessions that were kept for long enough, folded events, and bytes
    /// that were given back to the file system.
    pub fn took(&self, sessions: u64, events: u64, bytes: u64) {
        self.gone.sessions.fetch_add(sessions, Ordering::Relaxed);
        self.gone.events.fetch_add(events, Ordering::Relaxed);
        self.gone.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// All of [`Storage::took`] since this process started.
    #[must_use]
    pub fn taken(&self) -> (u64, u64, u64) {
        let Gone { sessions, events, bytes } = &*self.gone;
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (of(sessions), of(events), of(bytes))
    }

    /// What was counted on the way through all sessions.
    pub fn counted(&self, sessions: u64, events: u64) {
        let mut current = self.current.lock();
        let report = current.get_or_insert_default();
        (report.sessions, report.events) = (Some(sessions), Some(events));
        report.counted_at = Some(column::now());
    }
}
