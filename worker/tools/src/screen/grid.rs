//! The rows that a cursor can still reach. What scrolls out above them is final.

mod scroll;

use std::collections::VecDeque;

use super::row::{MAX_COLUMNS, Row, tab_width, width};
use crate::{format, output::Capped};

/// How many rows up a cursor can go.
pub(super) const MAX_ROWS: usize = 200;

/// Where the next character goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    pub(super) row: usize,
    /// [`None`] right after the last character of its row, wherever that is.
    pub(super) column: Option<usize>,
}

impl Cursor {
    const HOME: Self = Self { row: 0, column: None };
}

/// Rows and a cursor. There is always a row; the cursor may be below the last one, and a row there
/// is made when something is written.
#[derive(Debug)]
pub(super) struct Grid {
    rows: VecDeque<Row>,
    pub(super) cursor: Cursor,
    saved: Cursor,
    /// The rows that scroll: first and last.
    pub(super) margins: (usize, usize),
    /// Rows with something in them that were erased with the whole screen.
    pub(super) cleared: u64,
    /// Memory for the next row.
    spare: Option<String>,
    /// Takes what is final; [`None`] where nothing is kept of it.
    above: Option<Capped>,
}

impl Grid {
    /// An empty one, from which final rows go there.
    pub(super) fn new(above: Option<Capped>) -> Self {
        Self {
            rows: VecDeque::from([Row::default()]),
            cursor: Cursor::HOME,
            saved: Cursor::HOME,
            margins: (0, MAX_ROWS - 1),
            cleared: 0,
            spare: None,
            above,
        }
    }

    /// Writes text without control characters, but for tabs and line feeds.
    pub(super) fn write(&mut self, text: &str) {
        let mut rest = text;
        // Behind the first line feed nothing is in the row.
        if let Some(end) = memchr::memchr(b'\n', rest.as_bytes()) {
            self.write_line(&rest[..end]);
            self.line_feed();
            rest = &rest[end + 1..];
            rest = &rest[self.write_final(rest)..];
        }
        while let Some(end) = memchr::memchr(b'\n', rest.as_bytes()) {
            self.write_line(&rest[..end]);
            self.line_feed();
            rest = &rest[end + 1..];
        }
        self.write_line(rest);
    }

    /// Of a text that is longer than all rows, what is above them right after it. Returns its bytes.
    fn write_final(&mut self, text: &str) -> usize {
        let above = memchr::memrchr_iter(b'\n', text.as_bytes()).nth(MAX_ROWS);
        let (Some(above), true) = (above, self.is_below()) else { return 0 };
        let end = above + 1;
        let rows = std::mem::replace(&mut self.rows, VecDeque::from([Row::default()]));
        if let Some(above) = &mut self.above {
            above.push(shown(rows).as_bytes());
            above.push(&text.as_bytes()[..end]);
        }
        self.cursor = Cursor::HOME;
        end
    }

    /// Whether the cursor is in the last row, which is empty, and all of them scroll.
    fn is_below(&mut self) -> bool {
        self.cursor.row + 1 == self.rows.len()
            && self.margins == (0, MAX_ROWS - 1)
            && matches!(self.cursor.column, None | Some(0))
            && self.row().is_new()
    }

    fn write_line(&mut self, text: &str) {
        let mut rest = text;
        while !rest.is_empty() {
            if !self.is_at_end() {
                let mut characters = rest.chars();
                let character = characters.next().expect("it is not empty");
                match character {
                    '\t' => self.tab(),
                    character => self.print(character),
                }
                rest = characters.as_str();
                continue;
            }
            let row = self.row();
            let room = row.room().min(rest.len());
            let boundary = |at: &usize| rest.is_char_boundary(*at);
            let fits = (0..=room).rev().find(boundary).unwrap_or(0);
            if fits == 0 {
                self.wrap();
                continue;
            }
            row.append(&rest[..fits]);
            rest = &rest[fits..];
        }
    }

    /// Writes a character that is none for control.
    pub(super) fn print(&mut self, character: char) {
        if self.is_at_end() {
            if self.row().room() < character.len_utf8() {
                self.wrap();
            }
            let mut utf8 = [0; 4];
            self.row().append(character.encode_utf8(&mut utf8));
            return;
        }
        let column = self.column();
        match width(character) {
            0 => self.row().mark(column, character),
            width if column + width > MAX_COLUMNS => {
                self.wrap();
                self.print_at(0, character, width);
            }
            width => self.print_at(column, character, width),
        }
    }

    /// Prints a character so many times, up to the edge of its row.
    pub(super) fn repeat(&mut self, character: char, count: usize) {
        let (column, width) = (self.column(), width(character));
        let Some(most) = (MAX_COLUMNS - column).checked_div(width) else { return };
        let count = count.min(most);
        self.row().repeat(column, character, width, count);
        self.cursor.column = Some(column + count * width);
    }

    fn print_at(&mut self, column: usize, character: char, width: usize) {
        self.row().put(column, character, width);
        self.cursor.column = Some(column + width);
    }

    /// Over what is there a tab only moves.
    pub(super) fn tab(&mut self) {
        if self.is_at_end() {
            return self.print('\t');
        }
        let column = self.column();
        self.cursor.column = Some((column + tab_width(column)).min(MAX_COLUMNS));
    }

    /// To the beginning of the next row, as a terminal does where a program writes a line feed.
    pub(super) fn line_feed(&mut self) {
        let (first, last) = self.margins;
        if self.cursor.row == last {
            self.scroll_up(first, last, 1);
        } else if self.cursor.row + 1 < MAX_ROWS {
            self.cursor.row += 1;
        }
        let is_new = self.cursor.row >= self.rows.len();
        self.make_rows();
        self.cursor.column = if is_new { None } else { Some(0) };
    }

    /// The line goes on in the next row.
    fn wrap(&mut self) {
        self.row().goes_on = true;
        self.line_feed();
    }

    pub(super) fn save(&mut self) {
        self.saved = Cursor { column: Some(self.column()), ..self.cursor };
    }

    pub(super) const fn restore(&mut self) {
        self.cursor = self.saved;
    }

    /// To an empty row below everything.
    pub(super) fn move_below(&mut self) {
        self.margins = (0, MAX_ROWS - 1);
        self.cursor = Cursor { row: self.rows.len() - 1, column: None };
        if !self.row().is_blank() {
            self.line_feed();
        }
    }

    /// The row of the cursor.
    pub(super) fn row(&mut self) -> &mut Row {
        self.make_rows();
        &mut self.rows[self.cursor.row]
    }

    fn make_rows(&mut self) {
        while self.rows.len() <= self.cursor.row {
            self.rows.push_back(Row::reusing(self.spare.take()));
        }
    }

    fn is_at_end(&mut self) -> bool {
        let Some(column) = self.cursor.column else { return true };
        let is_at_end = self.row().columns() == column;
        if is_at_end {
            self.cursor.column = None;
        }
        is_at_end
    }

    /// The cursor's column, as a number.
    pub(super) fn column(&mut self) -> usize {
        match self.cursor.column {
            Some(column) => column,
            None => self.row().columns().min(MAX_COLUMNS),
        }
    }

    pub(super) fn move_to(&mut self, row: usize, column: usize) {
        self.cursor =
            Cursor { row: row.min(MAX_ROWS - 1), column: Some(column.min(MAX_COLUMNS - 1)) };
    }

    /// Erases rows from `first` on, up to but without `end`.
    pub(super) fn erase_rows(&mut self, first: usize, end: usize) {
        if end >= self.rows.len() {
            self.rows.truncate(first.max(1));
        }
        let end = end.min(self.rows.len());
        for row in self.rows.range_mut(first.min(end)..end) {
            *row = Row::default();
        }
    }

    /// Erases everything, and counts what was there.
    pub(super) fn clear(&mut self) {
        self.cleared += self.rows.iter().filter(|row| !row.is_blank()).count() as u64;
        self.erase_rows(0, MAX_ROWS);
    }

    /// What is final, with what is left of the rows, which are as they are now.
    pub(super) fn end(self) -> Option<Capped> {
        let mut above = self.above?;
        if self.cleared > 0 {
            let lines = format::plural(self.cleared, "line", "lines");
            above.push(
                format!(
                    "[the screen was cleared: {lines} that stood there before are not shown]\n"
                )
                .as_bytes(),
            );
        }
        above.push(shown(self.rows).as_bytes());
        Some(above)
    }

    /// What it shows now.
    pub(super) fn shown(self) -> String {
        shown(self.rows)
    }
}

fn shown(rows: VecDeque<Row>) -> String {
    let mut text = String::new();
    let last = rows.len() - 1;
    for (index, row) in rows.into_iter().enumerate() {
        let ends = !row.goes_on && index != last;
        text.push_str(&row.into_text());
        if ends {
            text.push('\n');
        }
    }
    text
}
