//! Rows that move up and down, and out of the screen.

use super::{Grid, MAX_ROWS, Row};

impl Grid {
    /// Rows from `first` to `last` move up by one; the first of all is then final.
    pub(in crate::screen) fn scroll_up(&mut self, first: usize, last: usize) {
        if first >= self.rows.len() {
            return;
        }
        let row = self.rows.remove(first).expect("it is there");
        if first == 0 {
            let goes_on = row.goes_on;
            let mut text = row.into_text();
            if let Some(above) = &mut self.above {
                above.push(text.as_bytes());
                if !goes_on {
                    above.push(b"\n");
                }
            }
            text.clear();
            self.spare = Some(text);
        }
        let row = Row::reusing(self.spare.take());
        if last < self.rows.len() {
            self.rows.insert(last, row);
        } else if self.rows.is_empty() || self.cursor.row >= self.rows.len() {
            self.rows.push_back(row);
        }
    }

    /// Rows from `first` to `last` move down by one; the last is gone.
    pub(in crate::screen) fn scroll_down(&mut self, first: usize, last: usize) {
        if first < self.rows.len() {
            if last < self.rows.len() {
                self.rows.remove(last);
            }
            self.rows.insert(first, Row::default());
            self.rows.truncate(MAX_ROWS);
        }
    }

    /// Takes a row out of those down to `last`; the ones below it move up.
    pub(in crate::screen) fn delete_row(&mut self, row: usize, last: usize) {
        if self.rows.remove(row).is_some() && last < self.rows.len() {
            self.rows.insert(last, Row::default());
        }
        if self.rows.is_empty() {
            self.rows.push_back(Row::default());
        }
    }
}
