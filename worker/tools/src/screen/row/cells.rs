//! A row in which something was overwritten: a cell a column.

use std::collections::BTreeMap;

use super::{MAX_COLUMNS, tab_width, width};

/// Marks of a row that has cells: what combines with the character before it.
const MAX_MARKS: usize = 128;
/// The columns of a character beyond its first one.
const FILLER: char = '\0';
const BLANK: char = ' ';

/// A character a column; a wide one and a tab are followed by fillers.
#[derive(Debug, Default)]
pub(super) struct Cells {
    columns: Vec<char>,
    /// What stands before the character of a column, and takes none itself.
    marks: BTreeMap<usize, String>,
    /// Of all marks.
    marked: usize,
}

impl Cells {
    pub(super) fn len(&self) -> usize {
        self.columns.len()
    }

    /// What is beyond the edge is gone.
    pub(super) fn cut(&mut self) {
        if self.columns.len() > MAX_COLUMNS {
            self.columns.truncate(MAX_COLUMNS);
            self.unmark(MAX_COLUMNS + 1, usize::MAX);
            self.end_whole();
        }
    }

    pub(super) fn is_blank(&self) -> bool {
        self.marks.is_empty() && self.columns.iter().all(|&cell| cell == BLANK)
    }

    /// Blanks columns.
    pub(super) fn erase(&mut self, from: usize, to: usize) {
        let to = to.min(self.columns.len());
        if from < to {
            self.split(from);
            self.split(to);
            self.unmark(from, to);
            self.columns[from..to].fill(BLANK);
        }
        if to == self.columns.len() {
            self.columns.truncate(from);
        }
    }

    /// Takes columns out.
    pub(super) fn delete(&mut self, from: usize, count: usize) {
        let to = from.saturating_add(count).min(self.columns.len());
        if from < to {
            self.split(from);
            self.split(to);
            self.unmark(from, usize::MAX);
            self.columns.drain(from..to);
        }
    }

    /// Puts blanks in.
    pub(super) fn insert(&mut self, from: usize, count: usize) {
        let before = self.columns.len();
        if from < before {
            self.split(from);
            self.unmark(from, usize::MAX);
            let count = count.min(MAX_COLUMNS - from);
            self.columns.resize((before + count).min(MAX_COLUMNS), BLANK);
            self.columns[from..].rotate_right(count);
            self.columns[from..from + count].fill(BLANK);
            self.end_whole();
        }
    }

    /// Adds a character at the end.
    pub(super) fn add(&mut self, character: char) {
        let column = self.columns.len();
        match character {
            '\t' => self.push('\t', tab_width(column)),
            character => match width(character) {
                0 => self.mark(column, character),
                width => self.push(character, width),
            },
        }
    }

    fn push(&mut self, character: char, width: usize) {
        self.columns.push(character);
        self.columns.extend(std::iter::repeat_n(FILLER, width - 1));
    }

    /// Puts a character so many times.
    pub(super) fn repeat(&mut self, column: usize, character: char, width: usize, count: usize) {
        if count == 0 {
            return;
        }
        let end = column + width * count;
        self.split(column);
        self.split(end);
        self.unmark(column + 1, end + 1);
        if self.columns.len() < end {
            self.columns.resize(end, BLANK);
        }
        let cells = &mut self.columns[column..end];
        cells.fill(if width == 1 { character } else { FILLER });
        cells.iter_mut().step_by(width).for_each(|cell| *cell = character);
    }

    pub(super) fn mark(&mut self, column: usize, mark: char) {
        if self.marked < MAX_MARKS {
            if self.columns.len() < column {
                self.columns.resize(column, BLANK);
            }
            self.marks.entry(column).or_default().push(mark);
            self.marked += 1;
        }
    }

    fn unmark(&mut self, from: usize, to: usize) {
        while let Some((&column, _)) = self.marks.range(from..to).next() {
            let gone = self.marks.remove(&column).unwrap_or_default();
            self.marked -= gone.chars().count();
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
    pub(super) fn text(&self, goes_on: bool) -> String {
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
