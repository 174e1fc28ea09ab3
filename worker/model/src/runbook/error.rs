//! Why a message is no runbook. Every text here is documented in `docs/runbook.md`.

use super::script::Position;

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {}, column {}: {kind}", at.line, at.column)]
pub(super) struct ParseError {
    pub(super) at: Position,
    pub(super) kind: ParseErrorKind,
}

impl Position {
    /// An error at this place.
    pub(super) const fn error(self, kind: ParseErrorKind) -> ParseError {
        ParseError { at: self, kind }
    }
}

/// What is wrong. Excerpts of the message are made by [`excerpt`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ParseErrorKind {
    #[error("expected a step, found {found}")]
    NoStepName { found: String },
    #[error("expected {expected}, found {found}")]
    Expected { expected: &'static str, found: String },
    #[error("expected the end of the line, found {found}")]
    Trailing { found: String },
    #[error("this quote is not closed before the line ends")]
    OpenQuote,
    #[error("{found} is no escape: in double quotes write \\n, \\r, \\t, \\\\ or \\\"")]
    Escape { found: String },
    #[error("expected a space after the closing quote, found {found}")]
    Glued { found: String },
    #[error("{found} is no tag: after << stand 1 to 32 letters, digits or _")]
    Tag { found: String },
    #[error("the text of <<{tag} has no end: expected a line that is {tag} and nothing else")]
    OpenBlock { tag: String },
    #[error("the command goes on after \\, but the message ends here")]
    OpenCommand,
    #[error("{found} is no range of lines: write 10-20, 10-, -20 or 10")]
    Range { found: String },
    #[error("{found} is no duration from 1s to 24h: write 90s, 5m or 2h")]
    Duration { found: String },
    #[error("{what} is empty")]
    Empty { what: &'static str },
    #[error("show has no step before it")]
    NothingToShow,
    #[error("the message has no step")]
    NoStep,
    #[error("the message has {bytes} bytes, more than the {limit} that a runbook may have")]
    TooLong { bytes: usize, limit: usize },
    #[error("this step is one more than the {limit} that a runbook may have")]
    TooManySteps { limit: usize },
    #[error("this step needs the tool {tool}, which the agent may not use")]
    ToolDenied { tool: &'static str },
}

/// The most characters of a message that an error repeats.
const EXCERPT_CHARS: usize = 40;

/// A piece of the message as errors show it: in back quotes, printable, shortened.
pub(super) fn excerpt(text: &str) -> String {
    format!("`{}`", shorten(text, EXCERPT_CHARS))
}

/// The first characters of a text, control characters as spaces, `…` for what is left out.
pub(super) fn shorten(text: &str, chars: usize) -> String {
    let mut short: String = text.chars().take(chars).map(printable).collect();
    if text.chars().nth(chars).is_some() {
        short.push('…');
    }
    short
}

/// A control character as a space, any other as it is.
pub(super) fn printable(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}
