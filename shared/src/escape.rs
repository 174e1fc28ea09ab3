//! What others wrote, made visible: text that may go to a terminal, and JSON that may.
//!
//! A terminal obeys control characters, whoever wrote them: they move the cursor, change its title,
//! or answer for the person before it. Others turn the direction of text around, or cannot be seen,
//! so that it reads as what it is not. Each stands as `\x{1b}` here, and so does the brace of a
//! `\x{` that was written as such: two texts never look the same. Rust's own `\u{1b}` is not used,
//! so that a name that an error has quoted by `{:?}` stays as it is.

mod invisible;

use std::{
    borrow::Cow,
    fmt::{self, Display, Formatter, Write},
};

pub use invisible::is_invisible;

/// What a text is, and so what of it is left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A name, a value, a sentence: one line, in which every invisible character is shown.
    Field,
    /// What somebody wrote in lines. Line ends and tabs are kept, and joiners and variation
    /// selectors behind what they may join: emoji and scripts need them. A carriage return that
    /// begins no line end, as of a progress bar, is shown and ends its line.
    Prose,
    /// Lines that quote fields which are escaped already: as [`Form::Prose`], but what stands for a
    /// character stays.
    Quoting,
}

/// Escapes a text that comes in pieces, the same however it is cut.
#[derive(Clone, Copy, Debug)]
pub struct Escaper {
    form: Form,
    last: Last,
}

/// What the last character was, as far as the next one depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    Other,
    Backslash,
    /// `\x`.
    BackslashX,
    /// A visible character beyond ASCII: it may be joined.
    Joinable,
    /// A variation selector behind one.
    Selector,
    /// A carriage return that is not written yet.
    Return,
}

impl Escaper {
    /// Before the first character.
    pub const fn new(form: Form) -> Self {
        Self { form, last: Last::Other }
    }

    /// Appends what stands for the next piece.
    pub fn push_str(&mut self, piece: &str, to: &mut String) {
        piece.chars().for_each(|c| self.push(c, to));
    }

    /// Appends what stands for the next character.
    pub fn push(&mut self, c: char, to: &mut String) {
        if self.last == Last::Return && c != '\n' {
            escaped('\r', to);
            to.push('\n');
        }
        let is_prose = self.form != Form::Field;
        self.last = match (c, self.last) {
            ('\r', _) if is_prose => {
                self.last = Last::Return;
                return;
            }
            ('{', Last::BackslashX) if self.form != Form::Quoting => escaped(c, to),
            ('\n' | '\t', _) if is_prose => shown(c, to, Last::Other),
            ('\u{200c}' | '\u{200d}', Last::Joinable | Last::Selector) if is_prose => {
                shown(c, to, Last::Other)
            }
            ('\u{fe00}'..='\u{fe0f}', Last::Joinable) if is_prose => shown(c, to, Last::Selector),
            _ if is_invisible(c) => escaped(c, to),
            ('\\', _) => shown(c, to, Last::Backslash),
            ('x', Last::Backslash) => shown(c, to, Last::BackslashX),
            _ if c.is_ascii() || c.is_whitespace() => shown(c, to, Last::Other),
            _ => shown(c, to, Last::Joinable),
        };
    }
}

fn shown(c: char, to: &mut String, last: Last) -> Last {
    to.push(c);
    last
}

fn escaped(c: char, to: &mut String) -> Last {
    to.push_str(&format!("\\x{{{:x}}}", u32::from(c)));
    Last::Other
}

/// Displays a value as a [`Form::Field`].
#[derive(Clone, Copy, Debug)]
pub struct Escaped<T>(pub T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(Pieces { escaper: Escaper::new(Form::Field), to: f }, "{}", self.0)
    }
}

struct Pieces<'a, 'f> {
    escaper: Escaper,
    to: &'a mut Formatter<'f>,
}

impl Write for Pieces<'_, '_> {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        let mut text = String::with_capacity(piece.len());
        self.escaper.push_str(piece, &mut text);
        self.to.write_str(&text)
    }
}

/// JSON with the same value in which every invisible character but line feeds is written as JSON
/// escapes it: `\u009b`. Space between its tokens becomes spaces.
pub fn json(text: &str) -> Cow<'_, str> {
    let is_kept = |c: char| c == '\n' || !is_invisible(c);
    if text.chars().all(is_kept) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            // Raw, they stand between tokens alone.
            '\r' | '\t' => escaped.push(' '),
            _ if is_kept(c) => escaped.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    escaped.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests;
