//! A terminal: obeys control sequences, and answers none.

use std::fmt;

use vte::Perform;

use super::{grid::Grid, screens::Screens};
use crate::output::Capped;

/// Stands above what a full-screen program showed when it was ended.
pub(crate) const FULL_SCREEN: &str =
    "[a full-screen program had the screen to the end; it showed:]";
/// A longer sequence is none: what comes after is text again.
const MAX_SEQUENCE: usize = 64 * 1024;
pub(super) const CANCEL: u8 = 0x18;
const ESCAPE: u8 = 0x1b;
pub(super) const DELETE: char = '\x7f';

/// Takes text, and keeps what a person would see of it.
pub(super) struct Terminal {
    parser: vte::Parser,
    screen: Screens,
    /// Bytes since the last sequence began.
    sequence: usize,
    /// The byte before, within a sequence.
    before: u8,
    /// Whether the sequence is an OSC, which is over with its line at the latest.
    is_osc: bool,
    /// Whether a line of ours is the last one, and not ended.
    ends_with_note: bool,
}

impl fmt::Debug for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminal").field("screen", &self.screen).finish_non_exhaustive()
    }
}

impl Terminal {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            parser: vte::Parser::new(),
            screen: Screens::new(Grid::new(Some(Capped::new(max_bytes)))),
            sequence: 0,
            before: 0,
            is_osc: false,
            ends_with_note: false,
        }
    }

    pub(super) fn push(&mut self, text: &str) {
        if self.ends_with_note && !text.is_empty() {
            self.screen.grid.move_below();
            self.ends_with_note = false;
        }
        let mut rest = text;
        while let Some(&byte) = rest.as_bytes().first() {
            if self.screen.is_ground {
                let plain = rest.bytes().position(is_control).unwrap_or(rest.len());
                if plain > 0 {
                    self.screen.write(&rest[..plain]);
                    rest = &rest[plain..];
                    continue;
                }
                if byte != ESCAPE {
                    self.screen.execute(byte);
                    rest = &rest[1..];
                    continue;
                }
            }
            // A sequence may end within a character only where the rest of it is dropped.
            let length = rest.chars().next().map_or(1, char::len_utf8);
            for &byte in &rest.as_bytes()[..length] {
                self.feed(byte);
            }
            rest = &rest[length..];
        }
    }

    /// Takes a byte of a sequence.
    fn feed(&mut self, byte: u8) {
        if self.screen.is_ground {
            (self.screen.is_ground, self.sequence, self.is_osc) = (false, 0, false);
        }
        self.is_osc = self.is_osc || (self.before, byte) == (ESCAPE, b']');
        (self.sequence, self.before) = (self.sequence + 1, byte);
        if self.sequence > MAX_SEQUENCE || (self.is_osc && byte == b'\n') {
            self.parser.advance(&mut self.screen, &[CANCEL]);
        }
        self.parser.advance(&mut self.screen, &[byte]);
    }

    /// Writes a line of ours, on a row of its own, whatever came before.
    pub(super) fn note(&mut self, note: &str) {
        self.parser = vte::Parser::new();
        self.screen.is_ground = true;
        self.screen.grid.move_below();
        self.screen.grid.write(note);
        self.ends_with_note = true;
    }

    /// What is left of everything.
    pub(super) fn end(self) -> String {
        let Screens { grid, beneath, was_full, .. } = self.screen;
        let (grid, full) = match beneath {
            Some(beneath) => (*beneath, Some(grid.shown())),
            None => (grid, None),
        };
        let mut text = grid.end().expect("the first screen keeps what is final");
        let mut note = |note: &str| {
            if !text.ends_line() {
                text.push(b"\n");
            }
            text.push(note.as_bytes());
        };
        match full {
            Some(screen) => {
                note(FULL_SCREEN);
                text.push(b"\n");
                text.push(screen.trim_end().as_bytes());
            }
            None if was_full => {
                note("[a full-screen program ran on a screen of its own, which is gone]");
            }
            None => {}
        }
        text.text()
    }
}

/// What is no text: control characters, but for tabs and line feeds.
const fn is_control(byte: u8) -> bool {
    (byte < b' ' && byte != b'\n' && byte != b'\t') || byte == DELETE as u8
}
