//! Untrusted text made safe for a terminal.

/// Removes control characters and escape sequences, whichever way the text is cut. A tool's
/// output may contain anything: it must not move the cursor, change the title or answer for the
/// terminal. A lone carriage return, as of a progress bar, becomes a line feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Printable {
    /// Everything passes: the reader is no terminal.
    Off,
    /// Between sequences.
    #[default]
    Text,
    /// After a carriage return.
    Return,
    /// After ESC.
    Escape,
    /// Within a control sequence (CSI): up to a letter.
    Sequence,
    /// Within a string (OSC, DCS, ...): up to BEL or ESC and a backslash.
    String,
    /// After ESC within a string.
    StringEscape,
}

impl Printable {
    /// The printable part of the next chunk.
    pub(super) fn filter(&mut self, chunk: &str) -> String {
        if *self == Printable::Off {
            return chunk.to_owned();
        }
        let mut text = String::with_capacity(chunk.len());
        for c in chunk.chars() {
            *self = self.step(c, &mut text);
        }
        text
    }

    fn step(self, c: char, text: &mut String) -> Self {
        match (self, c) {
            (Printable::Sequence, '\u{40}'..='\u{7e}') => Printable::Text,
            (Printable::Sequence, '\u{20}'..='\u{3f}') => Printable::Sequence,
            (Printable::String, '\u{7}' | '\u{9c}') => Printable::Text,
            (Printable::String, '\u{1b}') => Printable::StringEscape,
            (Printable::String, '\n') => plain(c, text),
            (Printable::String, _) => Printable::String,
            (Printable::StringEscape, '\\') => Printable::Text,
            (Printable::Escape | Printable::StringEscape, '[') => Printable::Sequence,
            (Printable::Escape | Printable::StringEscape, ']' | 'P' | 'X' | '^' | '_') => {
                Printable::String
            }
            (Printable::Escape | Printable::StringEscape, '\u{20}'..='\u{2f}') => Printable::Escape,
            (Printable::Escape | Printable::StringEscape, '\u{30}'..='\u{7e}') => Printable::Text,
            (Printable::Return, '\n') => plain(c, text),
            (Printable::Return, _) => {
                text.push('\n');
                plain(c, text)
            }
            _ => plain(c, text),
        }
    }
}

fn plain(c: char, text: &mut String) -> Printable {
    match c {
        '\r' => return Printable::Return,
        '\u{1b}' => return Printable::Escape,
        '\u{9b}' => return Printable::Sequence,
        '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => return Printable::String,
        '\n' | '\t' => text.push(c),
        // Marks that turn the direction of text around make it read as what it is not.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
        _ if c.is_control() => {}
        _ => text.push(c),
    }
    Printable::Text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sequences_are_removed() {
        for (text, expected) in [
            ("plain \u{e4}\ttext\n", "plain \u{e4}\ttext\n"),
            ("\u{1b}[1;31mred\u{1b}[0m", "red"),
            ("a\u{1b}]0;title\u{7}b\u{1b}]8;;http://x\u{1b}\\c", "abc"),
            ("\u{1b}Pq#0\u{1b}\\x", "x"),
            ("10 %\r20 %\r\ndone\r\n", "10 %\n20 %\ndone\n"),
            ("\u{1b}(Bx\u{8}\u{7f}y\u{0}", "xy"),
            ("\u{9b}31mred", "red"),
            ("open\u{1b}]0;never ended\nnext", "open\nnext"),
            ("a\u{202e}b", "ab"),
        ] {
            assert_eq!(Printable::default().filter(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_dangerous_is_left_however_it_is_cut(
            pieces in proptest::collection::vec("[\u{1b}\\[\\]a-c0-9;\r\n\u{7}\u{9b}\\\\]{0,12}", 0..8),
        ) {
            let mut filter = Printable::default();
            let cut: String = pieces.iter().map(|piece| filter.filter(piece)).collect();
            prop_assert!(cut.chars().all(|c| !c.is_control() || c == '\n' || c == '\t'));
            prop_assert_eq!(cut, Printable::default().filter(&pieces.concat()));
        }
    }
}
