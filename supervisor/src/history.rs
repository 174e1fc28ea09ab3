//! The history of replacements and of tampering, kept over the supervisor's own restarts.
//!
//! `STATE_DIR/history.jsonl`: each line has the counters, the highest generation and at most one
//! replacement or change, so that the last readable line has the whole state. A torn or damaged line
//! is skipped. The file is appended to, and rewritten with what is kept when it has twice as many
//! lines.

mod history_file;

use std::{
    collections::VecDeque,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use evonic_shared::status::{Replacement, Restarts, Tampering};
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

pub use self::history_file::{HistoryFile, Text};
use crate::disk::{self, Disk, FileError};

/// Replacements that are kept.
pub const KEPT: usize = 200;

/// Changes to the supervisor that are kept.
pub const KEPT_TAMPERING: usize = 50;

/// Lines after which the file is rewritten.
const MAX_LINES: usize = 2 * (KEPT + KEPT_TAMPERING);

/// The longest line that is read, in bytes.
const MAX_LINE_BYTES: u64 = 64 * 1024;

/// The most bytes that are read of the file.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    /// The highest generation that was started.
    generation: u64,
    restarts: Restarts,
    #[serde(flatten)]
    entry: Entry,
}

/// What a line tells of, beside the counters.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Entry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replacement: Option<Replacement>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tampering: Option<Tampering>,
}

impl From<Replacement> for Entry {
    fn from(replacement: Replacement) -> Self {
        Self { replacement: Some(replacement), tampering: None }
    }
}

impl From<Tampering> for Entry {
    fn from(tampering: Tampering) -> Self {
        Self { replacement: None, tampering: Some(tampering) }
    }
}

/// The last replacements, and the counters of all. Holds no descriptor.
#[derive(Debug, Default)]
pub struct History {
    /// The highest that was started; 0 when none was.
    pub generation: u64,
    /// Replacements by reason.
    pub restarts: Restarts,
    /// Oldest first.
    kept: VecDeque<Replacement>,
    /// Oldest first.
    tampering: VecDeque<Tampering>,
    /// Not handed to the disk yet.
    unsaved: VecDeque<Entry>,
    /// Something changed since the last save.
    is_dirty: bool,
    /// The disk has not taken what it was to take: the file is to be written anew.
    is_behind: bool,
    lines: usize,
}

impl History {
    /// Reads the file, and rewrites it when it is damaged or too long: no content is an error.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn open(state_dir: &Path) -> Result<(Self, HistoryFile), FileError> {
        let mut file = HistoryFile::new(state_dir.join("history.jsonl"));
        let mut history = Self::default();
        let damaged = history.read(file.path()).map_err(FileError::new("read", file.path()))?;
        // Appending to a torn line would lose the new one too.
        if damaged > 0 || history.lines > MAX_LINES {
            tracing::warn!(damaged_lines = damaged, "history is rewritten");
            file.write(&history.whole())?;
        }
        Ok((history, file))
    }

    pub fn last(&self) -> Option<&Replacement> {
        self.kept.back()
    }

    pub fn last_tampering(&self) -> Option<&Tampering> {
        self.tampering.back()
    }

    pub fn newest_first(&self) -> impl Iterator<Item = &Replacement> {
        self.kept.iter().rev()
    }

    pub fn tampering_newest_first(&self) -> impl Iterator<Item = &Tampering> {
        self.tampering.iter().rev()
    }

    /// Counts and keeps a replacement; [`History::save`] writes it.
    pub fn record(&mut self, replacement: Replacement) {
        self.restarts.count(replacement.reason);
        self.add(replacement.into());
    }

    /// Keeps a change to the supervisor; [`History::save`] writes it.
    pub fn tampered(&mut self, tampering: Tampering) {
        self.add(tampering.into());
    }

    fn add(&mut self, entry: Entry) {
        self.keep(entry.clone());
        self.unsaved.push_back(entry);
        if self.unsaved.len() > MAX_LINES {
            self.unsaved.clear();
            self.is_behind = true;
        }
        self.is_dirty = true;
    }

    pub fn started(&mut self, generation: u64) {
        self.is_dirty |= generation > self.generation;
        self.generation = self.generation.max(generation);
    }

    /// Hands what is not in the file yet to the disk, without waiting. A generation alone is not
    /// synchronised: it need not survive a loss of power, because its worker does not.
    ///
    /// Nothing is lost in memory where the disk does not answer, or refused before: the file is
    /// written anew then.
    pub fn save(&mut self, disk: &Disk) {
        self.is_behind |= disk.take_lost_history();
        if !self.is_dirty {
            return;
        }
        if !disk.has_room() {
            if !std::mem::replace(&mut self.is_behind, true) {
                tracing::error!("history is not kept: the disk does not answer");
            }
            return;
        }
        let is_whole = self.is_behind || self.lines + self.unsaved.len().max(1) > MAX_LINES;
        let text = if is_whole { self.whole() } else { self.appended() };
        if disk.write_history(text) {
            self.unsaved.clear();
            (self.is_dirty, self.is_behind) = (false, false);
        }
    }

    /// What is to be appended.
    fn appended(&mut self) -> Text {
        let entries = self.unsaved.iter().cloned();
        let mut content: Vec<u8> = entries.flat_map(|entry| self.encode(entry)).collect();
        if content.is_empty() {
            content = self.encode(Entry::default());
        }
        self.lines += self.unsaved.len().max(1);
        Text::Appended { content, is_synced: !self.unsaved.is_empty() }
    }

    /// All that is kept.
    fn whole(&mut self) -> Text {
        let replacements = self.kept.iter().cloned().map(Entry::from);
        let entries = self.tampering.iter().cloned().map(Entry::from).chain(replacements);
        let entries = entries.chain([Entry::default()]);
        let content = entries.flat_map(|entry| self.encode(entry)).collect();
        self.lines = self.kept.len() + self.tampering.len() + 1;
        Text::Whole { content }
    }

    fn encode(&self, entry: Entry) -> Vec<u8> {
        let line = Line { generation: self.generation, restarts: self.restarts, entry };
        let mut bytes =
            serde_json::to_vec(&line).expect("a line has string keys and finite numbers");
        bytes.push(b'\n');
        bytes
    }

    /// Reads the file and returns the number of damaged lines.
    fn read(&mut self, path: &Path) -> io::Result<usize> {
        let file = match disk::open(path, OFlags::RDONLY) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            other => other?,
        };
        let mut reader = BufReader::new(file.take(MAX_FILE_BYTES));
        let mut damaged = 0;
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            if reader.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut bytes)? == 0 {
                return Ok(damaged);
            }
            self.lines += 1;
            let whole = bytes.ends_with(b"\n");
            match serde_json::from_slice::<Line>(&bytes) {
                Ok(line) if whole => self.adopt(line),
                _ => damaged += 1,
            }
        }
    }

    fn adopt(&mut self, line: Line) {
        // A damaged number is bounded, and never goes back.
        self.generation = self.generation.max(line.generation.min(u64::MAX / 2));
        if line.restarts.total >= self.restarts.total {
            self.restarts = line.restarts;
        }
        self.keep(line.entry);
    }

    fn keep(&mut self, entry: Entry) {
        self.kept.extend(entry.replacement);
        self.tampering.extend(entry.tampering);
        let surplus = self.kept.len().saturating_sub(KEPT);
        self.kept.drain(..surplus);
        let surplus = self.tampering.len().saturating_sub(KEPT_TAMPERING);
        self.tampering.drain(..surplus);
    }
}

#[cfg(test)]
mod tests;
