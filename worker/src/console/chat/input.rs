//! Messages of the operator: on the command line, on standard input, or at a prompt.

use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines, Stdin},
    signal::unix::Signal,
};

use crate::console::{
    error::{ConsoleError, Result},
    input::read_stdin,
    output::Console,
    text::Style,
};

/// Begins and ends a message of several lines at the prompt.
const FENCE: &str = "\"\"\"";

/// Printed before the first prompt.
pub(super) const HELP: &str =
    "Ctrl-D leaves, Ctrl-C cancels a turn, \"\"\" begins and ends a message of several lines.";

/// Where messages come from.
#[derive(Debug)]
pub(super) enum Input {
    /// One message.
    Once(String),
    /// A prompt on a terminal.
    Prompt(Lines<BufReader<Stdin>>),
}

impl Input {
    /// The message of the command line; standard input for `-`, or where there is no terminal.
    pub(super) fn new(message: Option<&str>, interactive: bool) -> Result<Self> {
        let text = match message {
            None if interactive => {
                return Ok(Input::Prompt(BufReader::new(tokio::io::stdin()).lines()));
            }
            None | Some("-") => read_stdin()?,
            Some(text) => text.to_owned(),
        };
        if text.trim().is_empty() {
            return Err(ConsoleError::Usage("the message is empty".to_owned()));
        }
        Ok(Input::Once(text))
    }

    /// Whether more than one message may come.
    pub(super) fn is_interactive(&self) -> bool {
        matches!(self, Input::Prompt(_))
    }

    /// The next message; none when the operator left. At the prompt Ctrl-C and Ctrl-D leave.
    pub(super) async fn next(
        &mut self,
        interrupts: &mut Signal,
        console: &mut Console<'_>,
    ) -> Result<Option<String>> {
        let lines = match self {
            Input::Once(text) => return Ok(Some(std::mem::take(text))),
            Input::Prompt(lines) => lines,
        };
        let mut draft = Draft::default();
        loop {
            let prompt = if draft.fenced.is_some() { ". " } else { "> " };
            console.print(&Style::Bold.of(prompt))?;
            let line = tokio::select! {
                line = lines.next_line() => line.map_err(|source| ConsoleError::Input {
                    what: "the terminal".to_owned(),
                    source,
                })?,
                _ = interrupts.recv() => None,
            };
            let Some(line) = line else {
                console.line("")?;
                return Ok(None);
            };
            if let Some(text) = draft.add(&line) {
                return Ok(Some(text));
            }
        }
    }
}

/// Lines on their way to a message: one that is not empty, or all between two fences.
#[derive(Debug, Default)]
struct Draft {
    fenced: Option<Vec<String>>,
}

impl Draft {
    fn add(&mut self, line: &str) -> Option<String> {
        let is_fence = line.trim() == FENCE;
        let text = match (self.fenced.take(), is_fence) {
            (Some(lines), true) => lines.join("\n"),
            (None, false) => line.to_owned(),
            (lines, _) => {
                let mut lines = lines.unwrap_or_default();
                lines.extend((!is_fence).then(|| line.to_owned()));
                self.fenced = Some(lines);
                return None;
            }
        };
        (!text.trim().is_empty()).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_message_and_so_are_lines_between_fences() {
        let mut draft = Draft::default();
        let lines = [
            "", "  ", "one", "\"\"\"", "two", "", "three ", " \"\"\" ", "\"\"\"", "\"\"\"", "four",
        ];
        let messages: Vec<String> = lines.iter().filter_map(|line| draft.add(line)).collect();
        assert_eq!(messages, ["one", "two\n\nthree ", "four"]);
        assert!(draft.fenced.is_none());
    }
}
