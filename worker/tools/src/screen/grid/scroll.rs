//! Rows that move up and down, and out of the screen. Many at once cost little more than one.

use super::{Grid, Row};

impl Grid {
    /// Rows from `first` to `last` move up by so many; those that leave the top of the screen are
    /// final. What is empty below the last row does not move.
    pub(in crate::screen) fn scroll_up(&mut self, first: usize, last: usize, count: usize) {
        let is_empty = self.rows.len() == 1 && self.rows[0].is_new();
        let count = count.min(self.end_of(last).saturating_sub(first));
        if is_empty || count == 0 {
            return;
        }
        if first == 0 {
            let mut text = String::new();
            for row in self.rows.iter_mut().take(count) {
                let goes_on = row.goes_on;
                let row = std::mem::take(row).into_text();
                if text.is_empty() {
                    text = row;
                } else {
                    text.push_str(&row);
                }
                if !goes_on {
                    text.push('\n');
                }
            }
            if let Some(above) = &mut self.above {
                above.push(text.as_bytes());
            }
            if count == 1 {
                text.clear();
                self.spare = Some(text);
            }
        }
        self.delete_rows(first, last, count);
    }

    /// Rows from `first` to `last` move down by so many; those that leave are gone.
    pub(in crate::screen) fn scroll_down(&mut self, first: usize, last: usize, count: usize) {
        if first >= self.rows.len() {
            return;
        }
        if self.rows.len() <= last {
            let grown = (self.rows.len() + count).min(last + 1);
            self.rows.resize_with(grown, Row::default);
        }
        let end = self.end_of(last);
        let rows = &mut self.rows.make_contiguous()[first..end];
        let count = count.min(rows.len());
        rows.rotate_right(count);
        rows[..count].fill_with(Row::default);
    }

    /// Takes rows out of those down to `last`; the ones below them move up.
    pub(in crate::screen) fn delete_rows(&mut self, first: usize, last: usize, count: usize) {
        let end = self.end_of(last);
        let count = count.min(end.saturating_sub(first));
        if count == 0 {
            return;
        }
        if end == self.rows.len() {
            self.rows.drain(first..first + count);
        } else {
            let rows = &mut self.rows.make_contiguous()[first..end];
            rows.rotate_left(count);
            let below = rows.len() - count;
            rows[below..].fill_with(Row::default);
        }
        if self.rows.is_empty() {
            self.rows.push_back(Row::reusing(self.spare.take()));
        }
    }

    /// The end of the rows that are there down to `last`.
    fn end_of(&self, last: usize) -> usize {
        self.rows.len().min(last + 1)
    }
}
