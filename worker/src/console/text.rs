//! Text for a terminal, safe by its type: whatever is put into it is escaped, line ends are its own,
//! and how it is shown is an enum. Colours are added by the one who writes it.

use std::fmt::{self, Display, Write};

use evonic_shared::escape::{Escaper, Form};

use super::terminal::NoTerminal;

/// The longest field, in characters: one that never ends must not flood the terminal.
const MAX_FIELD_CHARS: usize = 2000;

/// The most lines of a quotation.
const MAX_QUOTED_LINES: usize = 50;

/// The prefix of a line that continues what somebody else wrote: none of ours has it.
pub(super) const MARGIN: &str = "│ ";

/// How text is shown where there are colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Style {
    #[default]
    Plain,
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
    Cyan,
}

impl Style {
    /// A field in this style.
    pub(super) fn of(self, field: impl Display) -> Text {
        let mut text = Text::from(field);
        text.spans.iter_mut().for_each(|span| span.style = self);
        text
    }

    /// Of `Select Graphic Rendition` (ECMA-48).
    const fn code(self) -> Option<&'static str> {
        Some(match self {
            Style::Plain => return None,
            Style::Bold => "1",
            Style::Dim => "2",
            Style::Red => "31",
            Style::Green => "32",
            Style::Yellow => "33",
            Style::Cyan => "36",
        })
    }
}

/// Whether styles are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Palette {
    Colours,
    None,
}

/// Lines of styled text, the last one perhaps unfinished.
#[derive(Clone, Debug, Default)]
pub(super) struct Text {
    spans: Vec<Span>,
}

#[derive(Clone, Debug)]
struct Span {
    style: Style,
    /// Escaped; its line ends are ours.
    text: String,
}

/// A field: one line in which everything that a terminal obeys is shown instead, cut when it is too
/// long.
impl<T: Display> From<T> for Text {
    fn from(field: T) -> Self {
        let mut bounded = Field::new();
        if write!(bounded, "{field}").is_err() {
            bounded.text.push('…');
        }
        Self::span(bounded.text)
    }
}

/// What a field becomes while it is displayed.
struct Field {
    text: String,
    escaper: Escaper,
    /// In characters.
    room: usize,
}

impl Field {
    const fn new() -> Self {
        let escaper = Escaper::new(Form::Field);
        Self { text: String::new(), escaper, room: MAX_FIELD_CHARS }
    }
}

impl Write for Field {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        for c in piece.chars() {
            self.room = self.room.checked_sub(1).ok_or(fmt::Error)?;
            self.escaper.push(c, &mut self.text);
        }
        Ok(())
    }
}

/// Parts beside each other; each is a [`Text`], or a field.
macro_rules! text {
    ($($part:expr),+ $(,)?) => {{
        let mut text = $crate::console::text::Text::default();
        $(text.push($part);)+
        text
    }};
}
pub(super) use text;

impl Text {
    fn span(text: String) -> Self {
        Self { spans: vec![Span { style: Style::Plain, text }] }
    }

    /// What somebody wrote in lines, whole.
    pub(super) fn prose(text: &str) -> Self {
        Prose::default().push(text)
    }

    /// Lines of a library's, which quote what is escaped.
    pub(super) fn quoting(text: &str) -> Self {
        Prose { escaper: Some(Escaper::new(Form::Quoting)) }.push(text)
    }

    /// What somebody else may have written in lines, behind something of ours: its further lines
    /// have a margin below this many columns, so that none can be taken for one of ours.
    pub(super) fn quoted(field: impl Display, indent: usize) -> Self {
        let whole = field.to_string();
        let mut lines = whole.lines();
        let mut text = Self::from(lines.next().unwrap_or_default());
        for line in lines.by_ref().take(MAX_QUOTED_LINES) {
            text.end_line();
            text.push(text![" ".repeat(indent), Style::Dim.of(MARGIN), line]);
        }
        if lines.next().is_some() {
            text.end_line();
            text.push(text![" ".repeat(indent), Style::Dim.of(MARGIN), "…"]);
        }
        text
    }

    /// Appends a text, or a field.
    pub(super) fn push(&mut self, part: impl Into<Text>) {
        self.spans.extend(part.into().spans);
    }

    /// Ends the last line.
    pub(super) fn end_line(&mut self) {
        self.spans.push(Span { style: Style::Plain, text: "\n".to_owned() });
    }

    /// Appends a whole line.
    pub(super) fn line(&mut self, line: impl Into<Text>) {
        self.push(line);
        self.end_line();
    }

    /// A whole line.
    pub(super) fn of_line(line: impl Into<Text>) -> Self {
        let mut text = Self::default();
        text.line(line);
        text
    }

    pub(super) fn is_empty(&self) -> bool {
        self.spans.iter().all(|span| span.text.is_empty())
    }

    /// Whether it ends a line; none when it is empty.
    pub(super) fn ends_line(&self) -> Option<bool> {
        let last = self.spans.iter().rev().find(|span| !span.text.is_empty())?;
        Some(last.text.ends_with('\n'))
    }

    /// Columns, as long as it is a line.
    pub(super) fn width(&self) -> usize {
        self.spans.iter().map(|span| span.text.chars().count()).sum()
    }

    /// The line, with spaces behind it up to this width.
    pub(super) fn padded(mut self, width: usize) -> Self {
        let space = width.saturating_sub(self.width());
        self.spans.push(Span { style: Style::Plain, text: " ".repeat(space) });
        self
    }

    /// The line, with its end cut so that it is at most this wide.
    pub(super) fn shortened(mut self, width: usize) -> Self {
        if self.width() <= width {
            return self;
        }
        let mut room = width.saturating_sub(1);
        for span in &mut self.spans {
            let end = span.text.char_indices().nth(room).map(|(end, _)| end);
            span.text.truncate(end.unwrap_or(span.text.len()));
            room -= span.text.chars().count();
        }
        if width > 0 {
            self.push("…");
        }
        self
    }

    /// Without the spaces at its end.
    pub(super) fn trimmed(mut self) -> Self {
        while let Some(span) = self.spans.last_mut() {
            span.text.truncate(span.text.trim_end_matches(' ').len());
            if !span.text.is_empty() {
                break;
            }
            self.spans.pop();
        }
        self
    }

    /// Each line with its end.
    pub(super) fn lines(self) -> Vec<Self> {
        let mut lines: Vec<Self> = Vec::new();
        let mut ended = true;
        for Span { style, text } in self.spans {
            for piece in text.split_inclusive('\n') {
                if ended {
                    lines.push(Self::default());
                }
                ended = piece.ends_with('\n');
                if let Some(line) = lines.last_mut() {
                    line.spans.push(Span { style, text: piece.to_owned() });
                }
            }
        }
        lines
    }

    /// The characters that show it.
    pub(super) fn encode(&self, palette: Palette) -> String {
        let mut encoded = String::new();
        for Span { style, text } in &self.spans {
            match style.code().filter(|_| palette == Palette::Colours && !text.is_empty()) {
                Some(code) => encoded.push_str(&format!("\x1b[{code}m{text}\x1b[0m")),
                None => encoded.push_str(text),
            }
        }
        encoded
    }
}

/// What somebody writes in lines, as it comes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prose {
    /// [`None`]: exact.
    escaper: Option<Escaper>,
}

impl Default for Prose {
    fn default() -> Self {
        Self { escaper: Some(Escaper::new(Form::Prose)) }
    }
}

impl Prose {
    /// As it is, for a reader that is no terminal.
    pub(super) const fn exact(_: NoTerminal) -> Self {
        Self { escaper: None }
    }

    /// The next piece, however it is cut.
    pub(super) fn push(&mut self, piece: &str) -> Text {
        let Some(escaper) = &mut self.escaper else { return Text::span(piece.to_owned()) };
        let mut text = String::with_capacity(piece.len());
        escaper.push_str(piece, &mut text);
        Text::span(text)
    }
}

#[cfg(test)]
impl Text {
    /// Without colours.
    pub(super) fn plain(&self) -> String {
        self.encode(Palette::None)
    }
}

#[cfg(test)]
mod tests;
