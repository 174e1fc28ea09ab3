//! Whether a command is an editor that waits for keys.
//!
//! vim goes on without a terminal, and waits on its standard error once its input is at its end: a
//! pipe never brings any. It says so at first, draws its screen, and leaves the cursor in it. Who only
//! prints the same words draws nothing behind them; once vim has ended, a line or the screen has, too.

use memchr::{memchr, memmem, memrchr};

/// How it begins.
const WARNINGS: [&[u8]; 2] =
    [b"Vim: Warning: Output is not to a terminal", b"Vim: Warning: Input is not from a terminal"];
/// How it asks for a key below what it has said.
const PROMPT: &[u8] = b"to continue";
/// Back to the screen beneath.
const LEAVES: &[u8] = b"\x1b[?1049l";
const ESCAPE: u8 = 0x1b;
/// As much as is looked at of the beginning of a line, and of its end.
const LOOKED_AT: usize = 64;

/// What it says, however its words are split.
#[derive(Debug, Default)]
pub(super) struct Editor {
    phase: Phase,
    /// The last line so far: its beginning, and its end.
    head: Vec<u8>,
    tail: Vec<u8>,
    draws: bool,
    left: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Other,
    Warned,
    Drawn,
}

impl Editor {
    pub(super) fn look(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while let Some(end) = memchr(b'\n', rest) {
            self.take(&rest[..end]);
            self.end_line();
            rest = &rest[end + 1..];
        }
        self.take(rest);
    }

    /// Whether what was said last is what it says when it waits.
    pub(super) fn waits(&self) -> bool {
        match self.phase {
            Phase::Other => false,
            Phase::Warned => self.head.is_empty(),
            Phase::Drawn => !self.left && (self.draws || self.tail.ends_with(PROMPT)),
        }
    }

    /// Takes more of the last line.
    fn take(&mut self, bytes: &[u8]) {
        let missing = (LOOKED_AT - self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..missing]);
        if self.phase == Phase::Warned && self.head.first().is_some_and(u8::is_ascii_control) {
            self.phase = Phase::Drawn;
        }
        if self.phase == Phase::Drawn {
            self.draws |= memrchr(ESCAPE, bytes).is_some();
            self.tail.extend_from_slice(bytes);
            self.left |= memmem::find(&self.tail, LEAVES).is_some();
            let excess = self.tail.len().saturating_sub(LOOKED_AT);
            self.tail.drain(..excess);
        }
    }

    fn end_line(&mut self) {
        let is_warning = WARNINGS.iter().any(|words| self.head.starts_with(words));
        // What it draws ends its lines as a terminal in raw mode needs it.
        let goes_on = self.phase == Phase::Drawn && !self.left && self.tail.ends_with(b"\r");
        if is_warning {
            self.phase = Phase::Warned;
        } else if !goes_on {
            self.phase = Phase::Other;
        }
        self.head.clear();
        self.tail.clear();
        (self.draws, self.left) = (false, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: &str = "Vim: Warning: Output is not to a terminal\n\
                         Vim: Warning: Input is not from a terminal\n";
    /// What vim 9.0 writes for two lines where TERM is dumb.
    const DRAWN: &str = "\x0c\x1b[24;1H\"notes.txt\" 2L, 12B\x1b[1;1Hhello\r\nworld\r\n~   \
                         \x1b[4;1H~   \x1b[24;63H1,1\x1b[24;77HAll\x1b[1;1H";
    /// And where it is xterm.
    const FULL: &str = "\x1b[?1049h\x1b[22;0;0t\x1b[H\x1b[2J\x1b[24;1H\"notes.txt\" 2L, 12B\
                        \x1b[1;1Hhello\r\nworld\r\n\x1b[1m~   \x1b[24;63H1,1\x1b[1;1H\x1b[?25h";

    fn waits(said: &str) -> bool {
        let whole = {
            let mut editor = Editor::default();
            editor.look(said.as_bytes());
            editor.waits()
        };
        for length in 1..said.len() {
            let mut editor = Editor::default();
            said.as_bytes().chunks(length).for_each(|piece| editor.look(piece));
            assert_eq!(editor.waits(), whole, "{said:?} in pieces of {length}");
        }
        whole
    }

    #[test]
    fn an_editor_waits_where_its_screen_is_the_last_thing() {
        for said in [
            BEGIN.to_owned(),
            format!("before\n{BEGIN}"),
            format!("{}{BEGIN}{DRAWN}", "x".repeat(100) + "\n"),
            format!("{BEGIN}{FULL}"),
            format!(
                "{BEGIN}\x0c\x1b[24;1H\"a\" 2L, 8B\r\r\n1\r\r\nPress ENTER or type command to continue"
            ),
            format!("{BEGIN}{DRAWN}Vim: Finished.\r\n\x1b[24;1H\nwords\n{BEGIN}{DRAWN}"),
        ] {
            assert!(waits(&said), "{said:?}");
        }
    }

    #[test]
    fn nobody_else_does() {
        for said in [
            String::new(),
            "Vim: Warning: something else\n".to_owned(),
            // Printed, quoted, and searched for.
            format!("{BEGIN}and then it hung\n"),
            format!("{BEGIN}and then"),
            BEGIN.replace("Vim:", "vim.log:3:Vim:"),
            "I said \"Vim: Warning: Output is not to a terminal\"".to_owned(),
            // Ended by itself: what runs now is another program.
            format!("{BEGIN}\x0c\x1b[24;1H\"a\" 2L, 8B written\r\r\n"),
            format!("{BEGIN}{FULL}\x1b[23;1t\r\n\x1b[?1004l\x1b[?1049l\x1b[?25h\x1b[>4;m"),
            format!("{BEGIN}{DRAWN}Vim: Error reading input, exiting...\nmake: entering\n"),
            format!("{BEGIN}{DRAWN}\r\r\nbuilding\n\x1b[1mlinking"),
        ] {
            assert!(!waits(&said), "{said:?}");
        }
    }
}
