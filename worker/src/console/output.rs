//! The one place that writes to standard output and standard error. It takes [`Text`] and JSON:
//! what is not safe for a terminal cannot be given to it. `clippy.toml` bans every other way.

use std::io::{self, Write};

use evonic_shared::escape;
use serde::Serialize;

use super::{
    command::OutputOptions,
    error::{ConsoleError, Result},
    terminal::Terminal,
    text::Text,
};

pub(super) struct Console<'a> {
    /// The answer.
    out: Box<dyn Write + 'a>,
    /// Notes and errors.
    err: Box<dyn Write + 'a>,
    pub(super) terminal: Terminal,
    /// Whether the last line on standard error is one that will be replaced.
    progress_shown: bool,
}

impl<'a> Console<'a> {
    /// The console of this process.
    #[expect(clippy::disallowed_methods, reason = "the gate to the terminal")]
    pub(super) fn of_process() -> Self {
        let (out, err) = (io::stdout(), io::stderr());
        let terminal = Terminal::new(&out, &err);
        Self::new(out, err, terminal)
    }

    pub(super) fn new(out: impl Write + 'a, err: impl Write + 'a, terminal: Terminal) -> Self {
        Self { out: Box::new(out), err: Box::new(err), terminal, progress_shown: false }
    }

    /// Writes to the output, and flushes it.
    pub(super) fn print(&mut self, text: &Text) -> Result {
        self.clear_progress();
        self.write(&text.encode(self.terminal.out.palette()))
    }

    /// Writes a line to the output.
    pub(super) fn line(&mut self, line: impl Into<Text>) -> Result {
        self.print(&Text::of_line(line))
    }

    /// Prints a value: JSON with `--json`, else this text.
    pub(super) fn show<T: Serialize>(
        &mut self,
        output: &OutputOptions,
        value: &T,
        text: impl FnOnce() -> Text,
    ) -> Result {
        if output.json { self.json(value) } else { self.print(&text()) }
    }

    /// Prints a value as JSON for people. The value is exact; characters that are not seen are
    /// written as JSON escapes them, whoever reads it.
    pub(super) fn json<T: Serialize>(&mut self, value: &T) -> Result {
        let json = serde_json::to_string_pretty(value);
        self.write(&(escape::json(&json.expect(IS_JSON)).into_owned() + "\n"))
    }

    /// Prints a value as one line of JSON.
    pub(super) fn json_line<T: Serialize>(&mut self, value: &T) -> Result {
        self.event(&serde_json::to_string(value).expect(IS_JSON))
    }

    /// Prints JSON that the worker made as one line.
    pub(super) fn event(&mut self, json: &str) -> Result {
        // Raw, a line feed stands between tokens alone.
        self.write(&(escape::json(json).replace('\n', " ") + "\n"))
    }

    /// Writes lines of JSON that the worker made: as they are, or for a terminal without what that must
    /// not obey.
    pub(super) fn exact(&mut self, bytes: &[u8]) -> Result {
        if self.terminal.out.is_terminal() {
            let text = String::from_utf8_lossy(bytes);
            return self.write(&escape::json(&text));
        }
        self.out.write_all(bytes).and_then(|()| self.out.flush()).map_err(ConsoleError::Output)
    }

    /// Shows a screen in the place of whatever the terminal shows.
    pub(super) fn redraw(&mut self, screen: &Text) -> Result {
        let screen = screen.encode(self.terminal.out.palette());
        self.write(&frame(&screen, self.terminal.rows))
    }

    /// Writes a line to standard error.
    pub(super) fn say(&mut self, line: impl Into<Text>) {
        self.say_text(&Text::of_line(line));
    }

    /// Writes to standard error.
    pub(super) fn say_text(&mut self, text: &Text) {
        self.clear_progress();
        self.write_err(&text.encode(self.terminal.err.palette()));
    }

    /// Shows a line on standard error, a terminal, until something else is written.
    pub(super) fn progress(&mut self, line: Text) {
        let line = line.shortened(self.terminal.columns.saturating_sub(1));
        let line = line.encode(self.terminal.err.palette());
        self.write_err(&format!("\r{line}{CLEAR_TO_END_OF_LINE}"));
        self.progress_shown = true;
    }

    pub(super) fn clear_progress(&mut self) {
        if std::mem::take(&mut self.progress_shown) {
            self.write_err(&format!("\r{CLEAR_TO_END_OF_LINE}"));
        }
    }

    fn write(&mut self, text: &str) -> Result {
        self.out
            .write_all(text.as_bytes())
            .and_then(|()| self.out.flush())
            .map_err(ConsoleError::Output)
    }

    fn write_err(&mut self, text: &str) {
        // A lost note is no reason to fail.
        let _ = self.err.write_all(text.as_bytes()).and_then(|()| self.err.flush());
    }
}

const IS_JSON: &str = "wire types have string keys and no fallible fields";

// Control sequences: see console_codes(4).
const TO_TOP_LEFT: &str = "\x1b[H";
const CLEAR_TO_END_OF_LINE: &str = "\x1b[K";
const CLEAR_TO_END_OF_SCREEN: &str = "\x1b[J";
const NO_WRAP: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";

/// From the top left corner, each line cleared to its end and cut at the edge, the rest below
/// cleared.
fn frame(screen: &str, rows: usize) -> String {
    let lines: Vec<&str> = screen.lines().take(rows.saturating_sub(1).max(1)).collect();
    let lines = lines.join(&format!("{CLEAR_TO_END_OF_LINE}\n"));
    format!("{TO_TOP_LEFT}{NO_WRAP}{lines}{CLEAR_TO_END_OF_LINE}\n{WRAP}{CLEAR_TO_END_OF_SCREEN}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_covers_the_last_one_and_no_more_than_the_terminal() {
        assert_eq!(frame("a\nb\n", 24), "\x1b[H\x1b[?7la\x1b[K\nb\x1b[K\n\x1b[?7h\x1b[J");
        assert_eq!(frame("a\nb\nc\n", 3).matches('\n').count(), 2);
    }

    #[test]
    fn progress_is_gone_when_something_else_is_written() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut console =
            Console::new(&mut out, &mut err, Terminal { columns: 9, ..Terminal::NONE });
        console.progress("a long \u{1b}name".into());
        console.say("note");
        console.say("note");
        console.line("answer").expect("it is written");
        drop(console);
        assert_eq!(String::from_utf8_lossy(&err), "\ra long …\x1b[K\r\x1b[Knote\nnote\n");
        assert_eq!(String::from_utf8_lossy(&out), "answer\n");
    }

    #[test]
    fn json_is_exact_and_one_line_is_one() {
        let mut out = Vec::new();
        let mut console = Console::new(&mut out, io::sink(), Terminal::NONE);
        let value = serde_json::json!({ "\u{9b}": "\u{202e}\u{1b}\n" });
        console.json_line(&value).expect("it is written");
        console.event("{\"a\":\n\"\u{9b}\"}").expect("it is written");
        console.json(&value).expect("it is written");
        drop(console);
        let text = String::from_utf8(out).expect("text");
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        let (first, rest) = text.split_once('\n').expect("two lines");
        let (event, pretty) = rest.split_once('\n').expect("two lines");
        let read = |text| serde_json::from_str::<serde_json::Value>(text).expect("it is JSON");
        assert_eq!((read(first), read(pretty)), (value.clone(), value));
        assert_eq!(read(event), serde_json::json!({ "a": "\u{9b}" }));
    }
}
