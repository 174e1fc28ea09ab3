//! What commands write, and where.

use std::io::Write;

use serde::Serialize;

use super::{
    command::OutputOptions,
    error::ConsoleError,
    terminal::{Paint, Terminal},
};

/// Where a command writes.
pub(super) struct Console<'a> {
    /// What was asked for.
    pub(super) out: &'a mut dyn Write,
    /// What is said beside it.
    pub(super) err: &'a mut dyn Write,
    /// What the two are connected to.
    pub(super) terminal: Terminal,
}

impl Console<'_> {
    /// Writes what was asked for, at once.
    pub(super) fn print(&mut self, text: &str) -> Result<(), ConsoleError> {
        self.out
            .write_all(text.as_bytes())
            .and_then(|()| self.out.flush())
            .map_err(ConsoleError::Output)
    }

    /// Prints a value, as JSON where that is asked for, else as this text.
    pub(super) fn show<T: Serialize>(
        &mut self,
        output: &OutputOptions,
        value: &T,
        text: impl FnOnce(Paint) -> String,
    ) -> Result<(), ConsoleError> {
        let text = if output.json { pretty(value) } else { text(self.terminal.out) };
        self.print(&text)
    }

    /// Says something beside it, at once.
    pub(super) fn say(&mut self, text: &str) {
        // What is said beside the output is not worth failing for.
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
