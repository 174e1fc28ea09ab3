//! One line of the log, and the forms in which both programs write it. Formatting only: where a
//! line goes is the program's.
//!
//! | Module | What it holds |
//! |---|---|
//! | `fields` | the fields of a `tracing` event or span |
//! | `style` | the form of a line, chosen by who reads it |
//! | `json`, `text`, `journal` | the three encodings |

mod fields;
mod journal;
mod json;
mod style;
mod text;

use std::time::SystemTime;

use serde_json::Value;
use tracing::Level;

pub use self::{
    fields::Fields,
    journal::JOURNAL_SOCKET,
    style::{Reader, Style, journal_stream},
};
use crate::timestamp::rfc3339;

/// The longest line on standard error, its end of line included, in bytes: what a pipe takes
/// whole, so that lines of two processes do not mix (`PIPE_BUF`, `pipe(7)`).
pub const MAX_LINE_BYTES: usize = 4096;

/// One line.
#[derive(Clone, Debug)]
pub struct Line<'a> {
    /// The program that writes it.
    pub program: &'static str,
    /// Its severity.
    pub level: Level,
    /// The module that writes it.
    pub target: &'a str,
    /// The message and the fields.
    pub fields: Fields,
}

impl Line<'_> {
    /// The line as its reader wants it. [`Style::Native`] makes a datagram for
    /// [`JOURNAL_SOCKET`], every other style at most [`MAX_LINE_BYTES`] with an end of line.
    pub fn encode(&self, style: Style, now: SystemTime) -> Vec<u8> {
        match style {
            Style::Native => journal::encode(self),
            Style::Json => json::encode(self, &rfc3339(now)).into_bytes(),
            Style::Coloured => text::coloured(self, &rfc3339(now)),
            Style::Plain => text::plain(self, &rfc3339(now)),
            Style::Prefixed => text::prefixed(self),
        }
    }
}

/// The severity of `syslog(3)`.
const fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// A field's value as text: a string without quotes, all else as JSON.
fn plain_value(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The first bytes of a text, cut between characters.
fn head(text: &str, max_bytes: usize) -> &str {
    let mut end = max_bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests;
