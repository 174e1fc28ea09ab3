//! The history of replacements, kept over the supervisor's own restarts.
//!
//! `STATE_DIR/history.jsonl`: each line has the counters, the highest generation and at most one
//! replacement, so that the last readable line has the whole state. A torn or damaged line is
//! skipped. The file is appended to, and rewritten with the last [`KEPT`] replacements when it has
//! twice as many lines.

use std::{
    collections::VecDeque,
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
};

use evonic_process::file;
use evonic_shared::status::{Replacement, Restarts};
use serde::{Deserialize, Serialize};

use crate::disk::{self, FileError};

/// Replacements that are kept.
pub const KEPT: usize = 200;

/// Lines after which the file is rewritten.
const MAX_LINES: usize = 2 * KEPT;

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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replacement: Option<Replacement>,
}

/// The last replacements, and the counters of all. Holds no descriptor.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    /// The highest that was started; 0 when none was.
    pub generation: u64,
    /// Replacements by reason.
    pub restarts: Restarts,
    /// Oldest first.
    kept: VecDeque<Replacement>,
    /// How many of the newest are not in the file.
    unsaved: usize,
    /// Something changed since the last save.
    is_dirty: bool,
    lines: usize,
}

impl History {
    /// Reads the file, and rewrites it when it is damaged or too long: no content is an error.
    pub fn open(state_dir: &Path) -> Result<Self, FileError> {
        let path = state_dir.join("history.jsonl");
        let mut history = Self {
            path: path.clone(),
            generation: 0,
            restarts: Restarts::default(),
            kept: VecDeque::new(),
            unsaved: 0,
            is_dirty: false,
            lines: 0,
        };
        let damaged = history.read().map_err(FileError::new("read", &path))?;
        // Appending to a torn line would lose the new one too.
        if damaged > 0 || history.lines > MAX_LINES {
            tracing::warn!(damaged_lines = damaged, "history is rewritten");
            history.rewrite()?;
        }
        Ok(history)
    }

    pub fn last(&self) -> Option<&Replacement> {
        self.kept.back()
    }

    pub fn newest_first(&self) -> impl Iterator<Item = &Replacement> {
        self.kept.iter().rev()
    }

    /// Counts and keeps a replacement; [`History::save`] writes it.
    pub fn record(&mut self, replacement: Replacement) {
        self.restarts.count(replacement.reason);
        self.keep(replacement);
        self.unsaved = KEPT.min(self.unsaved + 1);
        self.is_dirty = true;
    }

    pub fn started(&mut self, generation: u64) {
        self.is_dirty |= generation > self.generation;
        self.generation = self.generation.max(generation);
    }

    /// Writes what is not in the file yet, and waits until replacements are on disk. A generation
    /// alone is not synchronised: it need not survive a loss of power, because its worker does not.
    ///
    /// # Errors
    /// [`FileError`]; nothing is lost in memory, and the next change tries again.
    pub fn save(&mut self) -> Result<(), FileError> {
        if !std::mem::take(&mut self.is_dirty) {
            return Ok(());
        }
        if self.lines + self.unsaved.max(1) > MAX_LINES {
            return self.rewrite();
        }
        let mut text = Vec::new();
        for replacement in self.kept.range(self.kept.len() - self.unsaved..) {
            text.extend(encode(self.generation, self.restarts, Some(replacement)));
        }
        if self.unsaved == 0 {
            text.extend(encode(self.generation, self.restarts, None));
        }
        disk::append_to(&self.path)
            .and_then(|mut file| {
                file.write_all(&text)?;
                if self.unsaved > 0 { file.sync_data() } else { Ok(()) }
            })
            .map_err(FileError::new("write", &self.path))?;
        self.lines += self.unsaved.max(1);
        self.unsaved = 0;
        Ok(())
    }

    fn rewrite(&mut self) -> Result<(), FileError> {
        let mut content = Vec::new();
        for replacement in &self.kept {
            content.extend(encode(self.generation, self.restarts, Some(replacement)));
        }
        content.extend(encode(self.generation, self.restarts, None));
        file::replace(&self.path, &content, disk::FILE_MODE)
            .map_err(FileError::new("write", &self.path))?;
        self.lines = self.kept.len() + 1;
        self.unsaved = 0;
        Ok(())
    }

    /// Reads the file and returns the number of damaged lines.
    fn read(&mut self) -> io::Result<usize> {
        let file = match std::fs::OpenOptions::new().read(true).open(&self.path) {
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
        if let Some(replacement) = line.replacement {
            self.keep(replacement);
        }
    }

    fn keep(&mut self, replacement: Replacement) {
        self.kept.push_back(replacement);
        if self.kept.len() > KEPT {
            self.kept.pop_front();
        }
    }
}

fn encode(generation: u64, restarts: Restarts, replacement: Option<&Replacement>) -> Vec<u8> {
    let line = Line { generation, restarts, replacement: replacement.cloned() };
    let mut bytes = serde_json::to_vec(&line).expect("a line has string keys and finite numbers");
    bytes.push(b'\n');
    bytes
}

#[cfg(test)]
mod tests;
