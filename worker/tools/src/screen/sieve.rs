//! Tells binary output from text, and decodes the text.
//!
//! ```text
//! text --- a byte that is in no text ---> doubt --- 512 bytes, or the end ---> text | binary
//!   ^                                                                                 |
//!   +---------------- 4096 bytes that might all be text, or the end of them ----------+
//! ```

use memchr::{memmem, memrchr};

use super::{kind, terminal::Terminal};
use crate::{format, output::incomplete};

/// Bytes that are judged together.
const WINDOW: usize = 512;
/// So many bytes of text after binary output are no part of it.
const RUN: usize = 4096;
/// Text in fewer bytes after binary output is chance.
const SHORTEST_RUN: usize = 4;
/// The beginning of a line, up to here, belongs to the binary output that follows it.
const LINE_START: usize = 16;
/// Text is looked at in pieces of this size: after a byte in doubt it is looked at again.
const PIECE: usize = 8 * 1024;
/// So many bytes that are in no text, at least, make output binary.
const LEAST: usize = 4;

/// Between bytes and a terminal.
#[derive(Debug, Default)]
pub(super) struct Sieve {
    state: State,
    /// Bytes that wait for what follows: the beginning of a line or of a character.
    held: Vec<u8>,
    /// Whether the byte before `held` ended a line.
    is_within_line: bool,
    /// Whether zero bytes were shown as line feeds.
    has_zeros: bool,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Text,
    /// These bytes are text, or the beginning of what is none.
    Doubt(Vec<u8>),
    Binary(Binary),
}

/// Output that is not shown.
#[derive(Debug)]
struct Binary {
    /// How many bytes, with `run`.
    bytes: u64,
    kind: Option<&'static str>,
    /// The last bytes, as far as they might be text.
    run: Vec<u8>,
}

impl Sieve {
    pub(super) fn push(&mut self, piece: &[u8], terminal: &mut Terminal) {
        let mut rest = piece;
        while !rest.is_empty() {
            let taken = match &mut self.state {
                State::Text => self.take_text(rest, terminal),
                State::Doubt(window) => {
                    let taken = rest.len().min(WINDOW - window.len());
                    window.extend_from_slice(&rest[..taken]);
                    if window.len() == WINDOW {
                        let window = std::mem::take(window);
                        self.judge(&window, terminal);
                    }
                    taken
                }
                State::Binary(binary) => {
                    let (taken, is_over) = binary.take(rest);
                    if is_over {
                        self.end_binary(terminal);
                    }
                    taken
                }
            };
            rest = &rest[taken..];
        }
    }

    /// Nothing comes any more.
    pub(super) fn end(&mut self, terminal: &mut Terminal) {
        match std::mem::take(&mut self.state) {
            State::Text => {}
            State::Doubt(window) => self.judge(&window, terminal),
            State::Binary(binary) => self.state = State::Binary(binary),
        }
        if matches!(self.state, State::Binary(_)) {
            self.end_binary(terminal);
        }
        terminal.push(&String::from_utf8_lossy(&std::mem::take(&mut self.held)));
        if self.has_zeros {
            terminal.note("[zero bytes are shown as ends of lines]");
        }
    }

    /// Takes text, up to a byte that is in none. Returns how many bytes it took.
    fn take_text(&mut self, rest: &[u8], terminal: &mut Terminal) -> usize {
        let piece = &rest[..rest.len().min(PIECE)];
        let held = std::mem::take(&mut self.held);
        let joined;
        let bytes = if held.is_empty() {
            piece
        } else {
            joined = [&held, piece].concat();
            &joined
        };
        let shown = self.show(bytes, terminal);
        if let State::Doubt(window) = &mut self.state {
            window.extend_from_slice(held.get(shown..).unwrap_or_default());
            return shown.saturating_sub(held.len());
        }
        self.held.extend_from_slice(&bytes[shown..]);
        piece.len()
    }

    /// Shows what is text from the beginning on; returns how many bytes. What is left waits for
    /// what follows, or begins what is in doubt.
    fn show(&mut self, bytes: &[u8], terminal: &mut Terminal) -> usize {
        let valid = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let valid = &bytes[..error.valid_up_to()];
                if error.error_len().is_some() {
                    self.state = State::Doubt(Vec::new());
                }
                std::str::from_utf8(valid).expect("it is valid up to there")
            }
        };
        let text = match valid.bytes().position(is_foreign) {
            Some(at) => {
                self.state = State::Doubt(Vec::new());
                &valid[..at]
            }
            None => valid,
        };
        let line = memrchr(b'\n', text.as_bytes()).map(|end| end + 1);
        let shown = match line.or((!self.is_within_line).then_some(0)) {
            Some(begin) if text.len() - begin <= LINE_START => begin,
            _ => text.len(),
        };
        terminal.push(&text[..shown]);
        if shown > 0 {
            self.is_within_line = line != Some(shown);
        }
        shown
    }

    /// Decides about bytes in doubt.
    fn judge(&mut self, window: &[u8], terminal: &mut Terminal) {
        self.state = State::Text;
        if is_binary(window) {
            self.state = State::Binary(Binary {
                bytes: window.len() as u64,
                kind: kind::of(window),
                run: Vec::new(),
            });
            if let State::Binary(binary) = &mut self.state {
                binary.begin(window);
            }
            return;
        }
        let mut window = window.to_vec();
        for byte in window.iter_mut().filter(|byte| **byte == 0) {
            (*byte, self.has_zeros) = (b'\n', true);
        }
        let shown = window.len() - incomplete(&window);
        terminal.push(&String::from_utf8_lossy(&window[..shown]));
        self.is_within_line = window[..shown].last().is_some_and(|&last| last != b'\n');
        self.held = window.split_off(shown);
    }

    /// What was binary is over: says so, and shows the text after it.
    fn end_binary(&mut self, terminal: &mut Terminal) {
        let State::Binary(Binary { bytes, kind, run }) = std::mem::take(&mut self.state) else {
            return;
        };
        let after = text_at_end(&run);
        let bytes = format::count(bytes - after.len() as u64);
        let kind = kind.map(|kind| format!(" ({kind})")).unwrap_or_default();
        terminal.note(&format!("[binary output, {bytes} bytes{kind}, not shown]"));
        terminal.push(after);
        self.is_within_line = !after.is_empty() && !after.ends_with('\n');
    }
}

impl Binary {
    /// Looks at the bytes that decided: the last of them may be text.
    fn begin(&mut self, window: &[u8]) {
        let end = window.iter().rposition(|&byte| is_foreign(byte)).map_or(0, |last| last + 1);
        self.run = window[end..].to_vec();
    }

    /// Takes bytes; returns how many, and whether binary output is over.
    fn take(&mut self, rest: &[u8]) -> (usize, bool) {
        for (index, &byte) in rest.iter().enumerate() {
            self.bytes += 1;
            if is_foreign(byte) {
                self.run.clear();
                continue;
            }
            self.run.push(byte);
            if self.run.len() == RUN {
                if text_at_end(&self.run).len() == RUN {
                    return (index + 1, true);
                }
                self.run.clear();
            }
        }
        (rest.len(), false)
    }
}

/// Whether a byte is in no text, however it is encoded. Bells, backspaces, form feeds and the
/// beginning of sequences are in what terminals are sent.
const fn is_foreign(byte: u8) -> bool {
    matches!(byte, 0x00..=0x06 | 0x10..=0x17 | 0x19 | 0x1c..=0x1f | 0x7f)
}

/// Whether this is more than a text with a few bytes that are in none.
fn is_binary(window: &[u8]) -> bool {
    let zeros = window.iter().filter(|&&byte| byte == 0).count();
    if zeros * 3 > window.len() || memmem::find(window, b"\0\0").is_some() {
        return true;
    }
    let invalid: usize = window.utf8_chunks().map(|chunk| chunk.invalid().len()).sum();
    let foreign = window.iter().filter(|&&byte| byte != 0 && is_foreign(byte)).count();
    let strange = invalid + foreign;
    strange >= LEAST && strange * 10 >= window.len() * 3
}

/// What of these bytes, after binary output, is text: whole lines, or nothing.
fn text_at_end(run: &[u8]) -> &str {
    let last = run.utf8_chunks().last().filter(|chunk| chunk.invalid().is_empty());
    let text = last.map_or("", |chunk| chunk.valid());
    if text.len() >= SHORTEST_RUN && text.contains('\n') { text } else { "" }
}
