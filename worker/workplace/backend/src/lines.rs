//! A range of lines of a file, whatever its size, in constant memory.

use std::ops::ControlFlow;

use crate::Lines;

/// Bytes in which a zero byte makes a file a binary one.
const BINARY_BYTES: usize = 8 * 1024;

/// Bytes that are read beyond the range to know how many lines there are.
const COUNT_BYTES: u64 = 256 * 1024 * 1024;

/// Which lines are read.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// First line, from 1.
    pub from: u64,
    /// Last line; to the end when absent.
    pub to: Option<u64>,
    /// The most bytes.
    pub limit: u64,
}

/// A file that is being read: whole lines as far as they fit; only when the first one does not fit
/// is it cut.
pub struct Reading {
    range: Range,
    lines: Lines,
    /// The line that the next byte belongs to.
    line: u64,
    /// Bytes of it so far.
    column: u64,
    /// Where the line began in the text, while the text is taken.
    start: usize,
    /// Whether no more text is taken.
    full: bool,
    /// Bytes of the file so far.
    seen: u64,
    /// Bytes of it since the text was full.
    beyond: u64,
}

impl Reading {
    /// Before the first byte of a file of this size.
    pub fn begin(range: Range, size_bytes: u64) -> Self {
        let lines = Lines { first: range.from.max(1), size_bytes, ..Lines::default() };
        Self { range, lines, line: 1, column: 0, start: 0, full: false, seen: 0, beyond: 0 }
    }

    /// Takes the file's next bytes; breaks off when no more are needed.
    pub fn push(&mut self, piece: &[u8]) -> ControlFlow<()> {
        let first = self.seen == 0;
        if first && piece[..piece.len().min(BINARY_BYTES)].contains(&0) {
            self.lines.binary = true;
            return ControlFlow::Break(());
        }
        self.seen += piece.len() as u64;
        self.take(piece);
        if self.full {
            self.beyond += piece.len() as u64;
        }
        if self.beyond > COUNT_BYTES { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// The lines of a file that was not read to its end.
    pub fn broken_off(self) -> Lines {
        self.lines
    }

    fn take(&mut self, piece: &[u8]) {
        for part in piece.split_inclusive(|&byte| byte == b'\n') {
            self.take_part(part);
            if part.ends_with(b"\n") {
                self.end_line();
            }
        }
    }

    fn take_part(&mut self, part: &[u8]) {
        self.column += part.len() as u64;
        let asked = self.line >= self.range.from && self.range.to.is_none_or(|to| self.line <= to);
        if !asked {
            self.full |= self.line > self.range.from;
            return;
        }
        if self.full {
            return;
        }
        let room = usize::try_from(self.range.limit).unwrap_or(usize::MAX);
        let room = room.saturating_sub(self.lines.text.len());
        if part.len() <= room {
            self.lines.text.extend_from_slice(part);
        } else if self.lines.count == 0 {
            self.lines.text.extend_from_slice(&part[..room]);
            self.lines.cut = true;
            self.full = true;
        } else {
            self.lines.text.truncate(self.start);
            self.full = true;
        }
    }

    fn end_line(&mut self) {
        if self.lines.cut && self.lines.cut_line_bytes == 0 {
            self.lines.cut_line_bytes = self.column;
        }
        if !self.full && self.line >= self.range.from {
            self.lines.count += 1;
            self.start = self.lines.text.len();
        }
        self.line += 1;
        self.column = 0;
    }

    /// The lines of a file that was read to its end.
    pub fn end(mut self) -> Lines {
        if self.column > 0 {
            self.end_line();
        }
        self.lines.total = Some(self.line - 1);
        self.lines.size_bytes = self.lines.size_bytes.max(self.seen);
        self.lines
    }
}
