//! A command's output: what the result keeps of it, and what is shown while it runs.

use std::collections::VecDeque;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::format;
use evonic_store::PendingCall;

/// Output of a call, as it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The text.
    pub text: String,
    /// How many bytes of a command's output have been shown with it; [`Piece::ALL`] when it says
    /// that no more is.
    pub output_offset: u64,
}

impl Piece {
    /// Stands for all of an output, however long it becomes.
    pub const ALL: u64 = PendingCall::ALL;
}

/// The head and the tail of a text: at most this many bytes, and a note of what was left out.
pub(crate) fn capped(text: &str, max_bytes: usize) -> String {
    let mut capped = Capped::new(max_bytes);
    capped.push(text.as_bytes());
    capped.text()
}

/// The head and the tail of an output, in constant memory.
#[derive(Debug)]
pub(crate) struct Capped {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    head_bytes: usize,
    tail_bytes: usize,
    total: u64,
}

impl Capped {
    /// Keeps at most this many bytes, half of them from the beginning.
    pub(crate) fn new(max_bytes: usize) -> Self {
        let head_bytes = max_bytes / 2;
        let tail_bytes = max_bytes - head_bytes;
        Self { head: Vec::new(), tail: VecDeque::new(), head_bytes, tail_bytes, total: 0 }
    }

    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.total += piece.len() as u64;
        let free = self.head_bytes - self.head.len();
        let (head, rest) = piece.split_at(free.min(piece.len()));
        self.head.extend_from_slice(head);
        let rest = &rest[rest.len().saturating_sub(self.tail_bytes)..];
        let excess = (self.tail.len() + rest.len()).saturating_sub(self.tail_bytes);
        self.tail.drain(..excess);
        self.tail.extend(rest);
    }

    /// Whether the next byte begins a line.
    pub(crate) fn ends_line(&self) -> bool {
        self.tail.back().or(self.head.last()).is_none_or(|&last| last == b'\n')
    }

    /// The text: bytes that are no UTF-8 are replaced; a note stands where something was left out.
    pub(crate) fn text(self) -> String {
        let Self { mut head, tail, total, .. } = self;
        let tail = Vec::from(tail);
        if total == (head.len() + tail.len()) as u64 {
            head.extend_from_slice(&tail);
            return String::from_utf8_lossy(&head).into_owned();
        }
        let head = &head[..head.len() - incomplete(&head)];
        let within = tail.iter().take(3).take_while(|&&byte| is_continuation(byte)).count();
        let tail = &tail[within..];
        let left_out = format::count(total - (head.len() + tail.len()) as u64);
        let (head, tail) = (String::from_utf8_lossy(head), String::from_utf8_lossy(tail));
        format!("{head}\n[... {left_out} bytes left out ...]\n{tail}")
    }
}

const fn is_continuation(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}

/// How many bytes at the end may be the beginning of a character. A sequence is split only
/// before its first byte, so that pieces decode as the whole would.
pub(crate) fn incomplete(bytes: &[u8]) -> usize {
    let Some(back) = bytes.iter().rev().take(4).position(|&byte| !is_continuation(byte)) else {
        return 0;
    };
    let present = back + 1;
    let needed = match bytes[bytes.len() - present] {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 1,
    };
    if present < needed { present } else { 0 }
}

/// Replaces the rest.
const NOTE: &str = "\n[... it goes on; the end is in the result ...]\n";

/// What is shown of a running command: the beginning, then a note. Every piece becomes an event
/// in the database, so that an endless output must not.
///
/// Bytes are shown as text, wherever they were split on the way: the beginning of a character
/// waits for its end, and counts as shown only with it.
pub(crate) struct Live<'c> {
    output: mpsc::Sender<Piece>,
    cancel: &'c CancellationToken,
    /// The beginning of a character whose end has not come yet: at most three bytes.
    rest: Vec<u8>,
    /// Bytes of the output that are shown by now.
    shown: u64,
    /// Bytes that may still be shown; [`None`] once the note stands.
    left: Option<usize>,
}

impl<'c> Live<'c> {
    /// Shows at most this many bytes; those before `output_offset` were shown, and are not again.
    pub(crate) fn new(
        output: mpsc::Sender<Piece>,
        cancel: &'c CancellationToken,
        max_bytes: usize,
        output_offset: u64,
    ) -> Self {
        let before = usize::try_from(output_offset).unwrap_or(usize::MAX);
        let left = max_bytes.checked_sub(before);
        Self { output, cancel, rest: Vec::new(), shown: output_offset, left }
    }

    /// Shows a piece. Waits for a slow reader unless the call is cancelled.
    pub(crate) async fn push(&mut self, piece: &[u8]) {
        if self.left.is_some() {
            self.rest.extend_from_slice(piece);
            self.show(self.rest.len() - incomplete(&self.rest)).await;
        }
    }

    /// Shows what is left of a character that never ended.
    pub(crate) async fn end(mut self) {
        self.show(self.rest.len()).await;
    }

    /// Shows so many bytes of those that wait.
    async fn show(&mut self, bytes: usize) {
        let Some(left) = self.left else { return };
        let piece = if bytes > left {
            let head = &self.rest[..left];
            let mut text = lossy(&head[..left - incomplete(head)]);
            text.push_str(NOTE);
            self.left = None;
            Piece { text, output_offset: Piece::ALL }
        } else {
            self.left = Some(left - bytes);
            self.shown += bytes as u64;
            Piece { text: lossy(&self.rest[..bytes]), output_offset: self.shown }
        };
        self.rest.drain(..bytes);
        if !piece.text.is_empty() {
            // Without a listener the result is gathered all the same.
            tokio::select! {
                biased;
                slot = self.output.reserve() => drop(slot.map(|slot| slot.send(piece))),
                () = self.cancel.cancelled() => {}
            }
        }
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests;
