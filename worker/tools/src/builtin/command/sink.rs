//! A command's output on its two ways: into the result, and shown as it comes.

use std::time::Duration;

use bytes::Bytes;
use memchr::memmem;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{output::Live, screen::Screen};

/// What an editor says that goes on without the terminal that it wants: vim waits for keys on its
/// standard error once its input is at its end, and a pipe never brings any.
const WANTS_TERMINAL: [&[u8]; 2] =
    [b"Vim: Warning: Output is not to a terminal", b"Vim: Warning: Input is not from a terminal"];
/// After so long without a word it waits for keys.
const SILENCE: Duration = Duration::from_secs(5);

/// Where a command's output goes.
pub(super) struct OutputSink<'c> {
    screen: Screen,
    live: Live<'c>,
    /// How many bytes of it have come.
    pub(super) offset: u64,
    wants: WantsTerminal,
    /// Ends the command.
    stop: CancellationToken,
    waited_for_keys: bool,
}

/// A command's output as a result has it.
pub(super) struct Output {
    pub(super) text: String,
    /// Whether it was ended because it waited for keys.
    pub(super) waited_for_keys: bool,
}

impl<'c> OutputSink<'c> {
    /// Keeps at most this many bytes; `stop` ends the command.
    pub(super) fn new(max_bytes: usize, live: Live<'c>, stop: CancellationToken) -> Self {
        Self {
            screen: Screen::new(max_bytes),
            live,
            offset: 0,
            wants: WantsTerminal::default(),
            stop,
            waited_for_keys: false,
        }
    }

    /// Takes what comes. Ends a command that waits for keys.
    pub(super) async fn take_in(&mut self, mut pieces: mpsc::Receiver<Bytes>) {
        loop {
            let piece = if self.wants.seen && !self.waited_for_keys {
                let Ok(piece) = tokio::time::timeout(SILENCE, pieces.recv()).await else {
                    self.waited_for_keys = !self.stop.is_cancelled();
                    self.stop.cancel();
                    continue;
                };
                piece
            } else {
                pieces.recv().await
            };
            let Some(piece) = piece else { return };
            self.offset += piece.len() as u64;
            self.look(&piece);
            self.live.push(&piece).await;
        }
    }

    /// Takes a piece for the result alone.
    pub(super) fn look(&mut self, piece: &[u8]) {
        self.wants.look(piece);
        self.screen.push(piece);
    }

    pub(super) async fn end(self) -> Output {
        self.live.end().await;
        Output { text: self.screen.end(), waited_for_keys: self.waited_for_keys }
    }
}

/// Whether a program has said that it goes on without a terminal, however its words were split.
#[derive(Debug, Default)]
struct WantsTerminal {
    seen: bool,
    /// The end of what came before.
    before: Vec<u8>,
}

impl WantsTerminal {
    fn look(&mut self, piece: &[u8]) {
        if self.seen {
            return;
        }
        let most = WANTS_TERMINAL.iter().map(|words| words.len()).max().unwrap_or(0);
        let (begin, end) =
            (&piece[..piece.len().min(most)], &piece[piece.len().saturating_sub(most)..]);
        self.before.extend_from_slice(begin);
        self.seen = WANTS_TERMINAL.iter().any(|words| {
            memmem::find(&self.before, words).or(memmem::find(piece, words)).is_some()
        });
        if piece.len() > most {
            self.before = end.to_vec();
        } else {
            self.before.drain(..self.before.len().saturating_sub(most));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_found_however_they_are_split() {
        let said = [&b"x".repeat(100)[..], WANTS_TERMINAL[0], b"\n"].concat();
        for length in 1..said.len() {
            let mut wants = WantsTerminal::default();
            said.chunks(length).for_each(|piece| wants.look(piece));
            assert!(wants.seen, "in pieces of {length}");
        }
        let mut wants = WantsTerminal::default();
        wants.look(b"Vim: Warning: something else");
        assert!(!wants.seen);
    }
}
