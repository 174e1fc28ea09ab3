//! Where commands write.

use std::io::Write;

use serde::Serialize;

use super::{
    command::OutputOptions,
    error::{ConsoleError, Result},
    terminal::{Paint, Terminal},
};

pub(super) struct Console<'a> {
    /// The answer.
    pub(super) out: &'a mut dyn Write,
    /// Notes and errors.
    pub(super) err: &'a mut dyn Write,
    pub(super) terminal: Terminal,
}

impl Console<'_> {
    /// Writes to the output, and flushes it.
    pub(super) fn print(&mut self, text: &str) -> Result {
        self.out
            .write_all(text.as_bytes())
            .and_then(|()| self.out.flush())
            .map_err(ConsoleError::Output)
    }

    /// Prints a value: JSON with `--json`, else this text.
    pub(super) fn show<T: Serialize>(
        &mut self,
        output: &OutputOptions,
        value: &T,
        text: impl FnOnce(Paint) -> String,
    ) -> Result {
        let text = if output.json { pretty(value) } else { text(self.terminal.out) };
        self.print(&text)
    }

    /// Writes a line to standard error.
    pub(super) fn say(&mut self, text: &str) {
        // A lost note is no reason to fail.
        let _ = writeln!(self.err, "{text}").and_then(|()| self.err.flush());
    }
}

/// A value as one line of JSON.
pub(super) fn compact<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("wire types have string keys and no fallible fields")
}

/// A value as JSON for people.
pub(super) fn pretty<T: Serialize>(value: &T) -> String {
    let mut text = serde_json::to_string_pretty(value)
        .expect("wire types have string keys and no fallible fields");
    text.push('\n');
    text
}
