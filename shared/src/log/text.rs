//! Lines for people, and for a journal that only reads standard error.

use tracing::Level;

use super::{Line, MAX_LINE_BYTES, head, plain_value, priority};
use crate::escape::{Escaped, is_invisible};

const RESET: &str = "\x1b[0m";
const DIM: &str = "\x1b[2m";

/// The message with its fields: `worker is ready generation=3`. One line, in which nothing that
/// somebody else wrote is obeyed, or can be taken for another field.
pub(super) fn message(line: &Line<'_>) -> String {
    let mut text = Escaped(&line.fields.message).to_string();
    for (name, value) in &line.fields.others {
        let plain = plain_value(value);
        let needs_quotes = |c: char| c.is_whitespace() || c == '"' || c == '\\' || is_invisible(c);
        let value = if value.is_string() && (plain.is_empty() || plain.contains(needs_quotes)) {
            quoted(&plain)
        } else {
            plain
        };
        text.push_str(&format!(" {name}={value}"));
    }
    text
}

/// A text in quotes, with Rust's escapes: they are not all that is invisible.
fn quoted(text: &str) -> String {
    let mut quoted = String::new();
    for c in format!("{text:?}").chars() {
        if is_invisible(c) {
            quoted.extend(c.escape_unicode());
        } else {
            quoted.push(c);
        }
    }
    quoted
}

pub(super) fn coloured(line: &Line<'_>, time: &str) -> Vec<u8> {
    let colour = match line.level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        Level::DEBUG => "\x1b[34m",
        Level::TRACE => "\x1b[35m",
    };
    let (level, target) = (line.level.as_str(), line.target);
    let begin = format!("{DIM}{time}{RESET} {colour}{level:>5}{RESET} {DIM}{target}:{RESET} ");
    one_line(begin, line)
}

pub(super) fn plain(line: &Line<'_>, time: &str) -> Vec<u8> {
    one_line(format!("{time} {:>5} {}: ", line.level.as_str(), line.target), line)
}

pub(super) fn prefixed(line: &Line<'_>) -> Vec<u8> {
    one_line(format!("<{}>", priority(line.level)), line)
}

/// One event is one line, whatever it quotes.
fn one_line(begin: String, line: &Line<'_>) -> Vec<u8> {
    let whole = begin + &message(line);
    let mut bytes = head(&whole, MAX_LINE_BYTES - 1).as_bytes().to_vec();
    bytes.push(b'\n');
    bytes
}
