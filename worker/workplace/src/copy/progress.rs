//! How far a copy is, and where that is reported.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::mpsc;

/// How far a copy is. A wire type.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Progress {
    /// Everything there is to do is known.
    Planned { files: u64, bytes: u64 },
    /// A file moves.
    Moved {
        /// Its path, as at its source.
        path: String,
        /// Bytes of all files that are at their target.
        bytes: u64,
    },
    /// A transient error; the copy tries again after a pause.
    Paused { reason: String, retry_ms: u64 },
    /// A file is at its target, and its hash is that of its source.
    Checked {
        path: String,
        /// SHA-256 in 64 hexadecimal digits.
        sha256: String,
    },
    /// Neither a file nor a folder: it is not copied.
    Skipped {
        /// Its path, as at its source.
        path: String,
        reason: String,
    },
    /// A file is at its target, and something is to be known of that.
    Noted {
        /// Its path, as at its target.
        path: String,
        note: String,
    },
    /// Everything is at its target.
    Done {
        files: u64,
        bytes: u64,
        /// Bytes that went over the wire, those sent twice included.
        sent: u64,
    },
    /// It was given up.
    Failed {
        reason: String,
        /// Whether what is unfinished was kept: the same copy, asked for again, goes on there.
        #[serde(default)]
        goes_on: bool,
    },
}

/// The shortest time between two reports of a file that moves.
const INTERVAL: Duration = Duration::from_millis(100);

/// Where progress is reported. Bounded: [`Progress::Moved`] that finds no room is dropped.
pub(super) struct ProgressSink {
    progress: mpsc::Sender<Progress>,
    last: Mutex<Option<Instant>>,
}

impl ProgressSink {
    pub(super) fn new(progress: mpsc::Sender<Progress>) -> Self {
        Self { progress, last: Mutex::new(None) }
    }

    /// Reports, as soon as there is room.
    pub(super) async fn send(&self, progress: Progress) {
        // There may be no listener.
        let _ = self.progress.send(progress).await;
    }

    /// Reports how far a file is, unless that was done a moment ago.
    pub(super) fn moved(&self, path: &str, bytes: u64) {
        let mut last = self.last.lock();
        if last.is_none_or(|last| last.elapsed() >= INTERVAL) {
            *last = Some(Instant::now());
            let _ = self.progress.try_send(Progress::Moved { path: path.to_owned(), bytes });
        }
    }
}
