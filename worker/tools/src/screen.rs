//! What a person would see of a command's output.
//!
//! ```text
//! bytes --> Sieve: text or binary? --> Terminal: control sequences --> Grid: rows --> Capped
//! ```
//!
//! | Part | What it does |
//! |---|---|
//! | `sieve` | tells binary output from text and says so in its place; decodes |
//! | `kind` | what binary output is, by its first bytes |
//! | `terminal` | finds control sequences by vte's parser, and lines of ours |
//! | `screens` | what the sequences do to a screen, and to that of a full-screen program |
//! | `grid` | the last rows, where a cursor may still change them; those above it are final |
//! | `row` | one row: text as it came, or cells once something in it was overwritten |
//!
//! All of it is in constant memory, whatever comes, and the same however the bytes are split.
//! Nothing is answered: there is no terminal.

mod grid;
mod kind;
mod row;
mod screens;
mod sieve;
mod terminal;

pub(crate) use self::terminal::FULL_SCREEN;
use self::{sieve::Sieve, terminal::Terminal};

/// Takes bytes in, and gives the text that is left of them.
#[derive(Debug)]
pub(crate) struct Screen {
    sieve: Sieve,
    terminal: Terminal,
}

impl Screen {
    /// Keeps at most this many bytes of the text, half of them from its beginning.
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self { sieve: Sieve::default(), terminal: Terminal::new(max_bytes) }
    }

    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.sieve.push(piece, &mut self.terminal);
    }

    /// The text, and below it in brackets what of the output is not in it.
    pub(crate) fn end(mut self) -> String {
        self.sieve.end(&mut self.terminal);
        self.terminal.end()
    }
}

/// What a screen makes of these bytes, in pieces whose lengths their first byte says, must not
/// depend on the pieces.
pub(crate) fn fuzz(data: &[u8]) {
    const MAX_BYTES: usize = 4096;
    /// Notes of what is not shown.
    const NOTES: usize = 1024;
    let (length, data) =
        data.split_first().map_or((1, data), |(&length, data)| (usize::from(length).max(1), data));
    let (mut whole, mut split) = (Screen::new(MAX_BYTES), Screen::new(MAX_BYTES));
    whole.push(data);
    data.chunks(length).for_each(|piece| split.push(piece));
    let (whole, split) = (whole.end(), split.end());
    assert_eq!(whole, split, "in pieces of {length} bytes");
    assert!(whole.len() <= MAX_BYTES + NOTES, "{} bytes", whole.len());
}

#[cfg(test)]
mod tests;
