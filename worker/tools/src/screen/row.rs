//! One row of a screen.

use std::collections::BTreeMap;

use unicode_width::UnicodeWidthChar;

/// A row goes on in the next one after this many columns, or bytes of text as it came: a bound of
/// memory, which no text shows.
pub(super) const MAX_COLUMNS: usize = 2000;
/// Marks of a row that has cells: what combines with the character before it.
const MAX_MARKS: usize = 256;
/// The columns of a character beyond its first one.
const FILLER: char = '\0';
const BLANK: char = ' ';
/// Between two stops of a tab.
const TAB: usize = 8;

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
    Text(String),
    /// Since something in it was changed.
    Cells(Cells),
}

impl Default for Content {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

/// A character a column; a wide one and a tab are followed by fillers.
#[derive(Debug, Default)]
struct Cells {
    columns: Vec<char>,
    /// What stands before the character of a column, and takes none itself.
    marks: BTreeMap<usize, String>,
    /// Of all marks.
    marked: usize,
}

impl Row {
    /// An empty row that uses the memory of another one.
    pub(super) fn reusing(text: Option<String>) -> Self {
        Self { content: Content::Text(text.unwrap_or_default()), goes_on: false }
    }

    pub(super) fn columns(&self) -> usize {
        match &self.content {
            Content::Text(text) => text.chars().fold(0, |column, character| match character {
                '\t' => column + tab_width(column),
                character => column + width(character),
            }),
            Content::Cells(cells) => cells.columns.len(),
        }
    }

    /// How much more it takes at its end.
    pub(super) fn room(&self) -> usize {
        let taken = match &self.content {
            Content::Text(text) => text.len(),
            Content::Cells(cells) => cells.columns.len(),
        };
        MAX_COLUMNS.saturating_sub(taken)
    }

    /// Whether nothing was ever in it.
    pub(super) fn is_new(&self) -> bool {
        matches!(&self.content, Content::Text(text) if text.is_empty())
    }

    pub(super) fn is_blank(&self) -> bool {
        match &self.content {
            Content::Text(text) => text.is_empty(),
            Content::Cells(cells) => {
                cells.marks.is_empty() && cells.columns.iter().all(|&cell| cell == BLANK)
            }
        }
    }

    /// Adds text at the end.
    pub(super) fn append(&mut self, added: &str) {
        match &mut self.content {
            Content::Text(text) => text.push_str(added),
            Content::Cells(cells) => added.chars().for_each(|character| cells.add(character)),
        }
    }

    /// Puts a character, of so many columns, in place of what is there.
    pub(super) fn put(&mut self, column: usize, character: char, width: usize) {
        self.cells().put(column, character, width);
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
        let cells = self.cells();
        let to = to.min(cells.columns.len());
        if from < to {
            cells.split(from);
            cells.split(to);
            cells.unmark(from, to);
            cells.columns[from..to].fill(BLANK);
        }
        if to == cells.columns.len() {
            cells.columns.truncate(from);
        }
    }

    /// Takes columns out; what is right of them moves up.
    pub(super) fn delete(&mut self, from: usize, count: usize) {
        let cells = self.cells();
        let to = from.saturating_add(count).min(cells.columns.len());
        if from < to {
            cells.split(from);
            cells.split(to);
            cells.unmark(from, usize::MAX);
            cells.columns.drain(from..to);
        }
    }

    /// Puts blanks in; what is right of them moves on, or over the edge.
    pub(super) fn insert(&mut self, from: usize, count: usize) {
        let cells = self.cells();
        if from < cells.columns.len() {
            cells.split(from);
            cells.unmark(from, usize::MAX);
            let count = count.min(MAX_COLUMNS - from);
            cells.columns.splice(from..from, std::iter::repeat_n(BLANK, count));
            cells.columns.truncate(MAX_COLUMNS);
            cells.end_whole();
        }
    }

    /// What is seen of it, and the memory of its text.
    pub(super) fn into_text(self) -> String {
        match self.content {
            Content::Text(text) => text,
            Content::Cells(cells) => cells.text(self.goes_on),
        }
    }

    fn cells(&mut self) -> &mut Cells {
        if let Content::Text(text) = &self.content {
            let mut cells = Cells::default();
            text.chars().for_each(|character| cells.add(character));
            self.content = Content::Cells(cells);
        }
        match &mut self.content {
            Content::Cells(cells) => cells,
            Content::Text(_) => unreachable!("it has cells by now"),
        }
    }
}

impl Cells {
    /// Adds a character at the end.
    fn add(&mut self, character: char) {
        let column = self.columns.len();
        match character {
            '\t' => self.put(column, '\t', tab_width(column)),
            character => match width(character) {
                0 => self.mark(column, character),
                width => self.put(column, character, width),
            },
        }
    }

    fn put(&mut self, column: usize, character: char, width: usize) {
        let end = column + width;
        self.split(column);
        self.split(end);
        self.unmark(column + 1, end + 1);
        if self.columns.len() < end {
            self.columns.resize(end, BLANK);
        }
        self.columns[column] = character;
        self.columns[column + 1..end].fill(FILLER);
    }

    fn mark(&mut self, column: usize, mark: char) {
        if self.marked < MAX_MARKS {
            if self.columns.len() < column {
                self.columns.resize(column, BLANK);
            }
            self.marks.entry(column).or_default().push(mark);
            self.marked += 1;
        }
    }

    fn unmark(&mut self, from: usize, to: usize) {
        if !self.marks.is_empty() {
            self.marks.retain(|&column, _| !(from..to).contains(&column));
            self.marked = self.marks.values().map(|marks| marks.chars().count()).sum();
        }
    }

    /// What reaches over this column's left edge becomes blanks: of a character there is no half.
    fn split(&mut self, column: usize) {
        if self.columns.get(column) != Some(&FILLER) {
            return;
        }
        let before = self.columns[..column].iter().rposition(|&cell| cell != FILLER);
        let fillers = self.columns[column..].iter().take_while(|&&cell| cell == FILLER).count();
        self.columns[before.unwrap_or(0)..column + fillers].fill(BLANK);
    }

    /// A character whose end was cut off becomes blanks.
    fn end_whole(&mut self) {
        let Some(last) = self.columns.iter().rposition(|&cell| cell != FILLER) else { return };
        let character = self.columns[last];
        let whole = if character == '\t' { tab_width(last) } else { width(character) };
        if self.columns.len() - last < whole {
            self.columns[last..].fill(BLANK);
        }
    }

    /// Without blanks at its end, which nobody sees, unless the line goes on.
    fn text(&self, goes_on: bool) -> String {
        let seen = self.columns.iter().rposition(|&cell| cell != BLANK).map_or(0, |last| last + 1);
        let seen = if goes_on { self.columns.len() } else { seen };
        let mut text = String::with_capacity(seen);
        for column in 0..=self.columns.len() {
            if let Some(marks) = self.marks.get(&column) {
                text.push_str(marks);
            }
            match self.columns.get(column) {
                Some(&cell) if column < seen && cell != FILLER => text.push(cell),
                _ => {}
            }
        }
        text
    }
}
