//! One row of a screen.

mod cells;

use unicode_width::UnicodeWidthChar;

use self::cells::Cells;

/// A row goes on in the next one after this many columns, or bytes of text as it came: a bound of
/// memory, which no text shows.
pub(super) const MAX_COLUMNS: usize = 2000;
/// Between two stops of a tab.
pub(super) const TAB: usize = 8;

/// How many columns a character takes.
pub(super) fn width(character: char) -> usize {
    character.width().unwrap_or(0)
}

/// How many columns a tab takes.
pub(super) const fn tab_width(column: usize) -> usize {
    TAB - column % TAB
}

/// A row.
#[derive(Debug, Default)]
pub(super) struct Row {
    content: Content,
    /// It was full: the next row is the rest of the same line.
    pub(super) goes_on: bool,
}

#[derive(Debug)]
enum Content {
    /// As it came.
    Text(Measured),
    /// Since something in it was changed.
    Cells(Cells),
}

impl Default for Content {
    fn default() -> Self {
        Self::Text(Measured::default())
    }
}

/// A text, and the columns of its beginning: each byte is measured once.
#[derive(Debug, Default)]
struct Measured {
    text: String,
    /// Bytes that are measured, and their columns.
    bytes: usize,
    columns: usize,
}

impl Measured {
    fn columns(&mut self) -> usize {
        for character in self.text[self.bytes..].chars() {
            self.columns += match character {
                '\t' => tab_width(self.columns),
                character => width(character),
            };
        }
        self.bytes = self.text.len();
        self.columns
    }
}

impl Row {
    /// An empty row that uses the memory of another one.
    pub(super) fn reusing(text: Option<String>) -> Self {
        let text = Measured { text: text.unwrap_or_default(), ..Measured::default() };
        Self { content: Content::Text(text), goes_on: false }
    }

    pub(super) fn columns(&mut self) -> usize {
        match &mut self.content {
            Content::Text(measured) => measured.columns(),
            Content::Cells(cells) => cells.len(),
        }
    }

    /// How much more it takes at its end.
    pub(super) fn room(&self) -> usize {
        let taken = match &self.content {
            Content::Text(measured) => measured.text.len(),
            Content::Cells(cells) => cells.len(),
        };
        MAX_COLUMNS.saturating_sub(taken)
    }

    /// Whether nothing was ever in it.
    pub(super) fn is_new(&self) -> bool {
        matches!(&self.content, Content::Text(measured) if measured.text.is_empty())
    }

    pub(super) fn is_blank(&self) -> bool {
        match &self.content {
            Content::Text(measured) => measured.text.is_empty(),
            Content::Cells(cells) => cells.is_blank(),
        }
    }

    /// Adds text at the end.
    pub(super) fn append(&mut self, added: &str) {
        match &mut self.content {
            Content::Text(measured) => measured.text.push_str(added),
            Content::Cells(cells) => added.chars().for_each(|character| cells.add(character)),
        }
    }

    /// Puts a character, of so many columns, in place of what is there.
    pub(super) fn put(&mut self, column: usize, character: char, width: usize) {
        self.cells().repeat(column, character, width, 1);
    }

    /// Puts a character so many times, which must fit.
    pub(super) fn repeat(&mut self, column: usize, character: char, width: usize, count: usize) {
        let is_at_end = column == self.columns();
        match &mut self.content {
            Content::Text(measured)
                if is_at_end
                    && measured.text.len() + count * character.len_utf8() <= MAX_COLUMNS =>
            {
                measured.text.extend(std::iter::repeat_n(character, count));
            }
            _ => self.cells().repeat(column, character, width, count),
        }
    }

    /// Adds what takes no column before the one of this column.
    pub(super) fn mark(&mut self, column: usize, mark: char) {
        self.cells().mark(column, mark);
    }

    /// Blanks columns.
    pub(super) fn erase(&mut self, from: usize, to: usize) {
        if from == 0 && to >= MAX_COLUMNS {
            *self = Self { goes_on: self.goes_on, ..Self::default() };
            return;
        }
        self.cells().erase(from, to);
    }

    /// Takes columns out; what is right of them moves up.
    pub(super) fn delete(&mut self, from: usize, count: usize) {
        self.cells().delete(from, count);
    }

    /// Puts blanks in; what is right of them moves on, or over the edge.
    pub(super) fn insert(&mut self, from: usize, count: usize) {
        self.cells().insert(from, count);
    }

    /// What is seen of it, and the memory of its text.
    pub(super) fn into_text(self) -> String {
        match self.content {
            Content::Text(measured) => measured.text,
            Content::Cells(cells) => cells.text(self.goes_on),
        }
    }

    fn cells(&mut self) -> &mut Cells {
        if let Content::Text(measured) = &self.content {
            let mut cells = Cells::default();
            measured.text.chars().for_each(|character| cells.add(character));
            // Tabs reach further than their bytes.
            cells.cut();
            self.content = Content::Cells(cells);
        }
        match &mut self.content {
            Content::Cells(cells) => cells,
            Content::Text(_) => unreachable!("it has cells by now"),
        }
    }
}
