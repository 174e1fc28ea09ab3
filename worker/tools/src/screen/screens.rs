//! What control sequences do to a screen.

use vte::{Params, Perform};

use super::{
    grid::{Grid, MAX_ROWS},
    row::{MAX_COLUMNS, TAB},
    terminal::{CANCEL, DELETE},
};

/// So many tabs reach the edge from anywhere.
const MAX_TABS: usize = MAX_COLUMNS / TAB;

/// Stands for what programs draw with the letters from `` ` `` to `~`.
const LINE_DRAWING: [char; 31] = [
    '◆', '▒', '␉', '␌', '␍', '␊', '°', '±', '␤', '␋', '┘', '┐', '┌', '└', '┼', '⎺', '⎻', '─', '⎼',
    '⎽', '├', '┤', '┴', '┬', '│', '≤', '≥', 'π', '≠', '£', '·',
];

/// The screen, and the one beneath while a full-screen program has another.
#[derive(Debug)]
pub(super) struct Screens {
    pub(super) grid: Grid,
    pub(super) beneath: Option<Box<Grid>>,
    /// Whether a full-screen program had a screen of its own.
    pub(super) was_full: bool,
    /// Whether the parser is known to be outside of any sequence.
    pub(super) is_ground: bool,
    /// Whether letters are lines.
    draws: bool,
    /// The last character, which a sequence can repeat.
    last: Option<char>,
}

impl Screens {
    pub(super) fn new(grid: Grid) -> Self {
        Self { grid, beneath: None, was_full: false, is_ground: true, draws: false, last: None }
    }

    pub(super) fn write(&mut self, text: &str) {
        if self.draws {
            text.chars().for_each(|character| match character {
                '\n' | '\t' => self.execute(character as u8),
                character => self.print(character),
            });
        } else {
            self.last = text.chars().rev().find(|&last| last >= ' ').or(self.last);
            self.grid.write(text);
        }
    }

    fn full_screen(&mut self, on: bool) {
        if on && self.beneath.is_none() {
            self.beneath = Some(Box::new(std::mem::replace(&mut self.grid, Grid::new(None))));
            self.was_full = true;
        } else if !on && let Some(beneath) = self.beneath.take() {
            self.grid = *beneath;
        }
    }

    fn erase_screen(&mut self, what: usize) {
        let row = self.grid.cursor.row;
        match what {
            0 => {
                self.erase_line(0);
                self.grid.erase_rows(row + 1, MAX_ROWS);
            }
            1 => {
                self.erase_line(1);
                self.grid.erase_rows(0, row);
            }
            2 => self.grid.clear(),
            _ => {}
        }
    }

    fn erase_line(&mut self, what: usize) {
        let column = self.grid.column();
        let end = self.grid.row().columns();
        match what {
            0 if column >= end => {}
            0 => self.grid.row().erase(column, MAX_COLUMNS),
            1 => self.grid.row().erase(0, column + 1),
            2 => self.grid.row().erase(0, MAX_COLUMNS),
            _ => {}
        }
    }

    /// Moves by rows, at the same column.
    fn move_rows(&mut self, up: usize, down: usize) {
        let column = self.grid.column();
        self.grid.move_to((self.grid.cursor.row + down).saturating_sub(up), column);
    }

    fn reverse_line_feed(&mut self) {
        let (first, last) = self.grid.margins;
        if self.grid.cursor.row == first {
            self.grid.scroll_down(first, last, 1);
        } else {
            self.move_rows(1, 0);
        }
    }

    fn reset(&mut self) {
        self.full_screen(false);
        self.grid.clear();
        self.grid.move_to(0, 0);
        self.grid.margins = (0, MAX_ROWS - 1);
        self.draws = false;
    }
}

impl Perform for Screens {
    fn print(&mut self, character: char) {
        self.is_ground = true;
        if character == DELETE {
            return;
        }
        let drawn = match character {
            '`'..='~' if self.draws => LINE_DRAWING[character as usize - '`' as usize],
            character => character,
        };
        self.last = Some(drawn);
        self.grid.print(drawn);
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\r' => self.grid.cursor.column = Some(0),
            b'\n' | 0x0b | 0x0c => self.grid.line_feed(),
            b'\t' => self.grid.tab(),
            0x08 => {
                let column = self.grid.column();
                self.grid.cursor.column = Some(column.saturating_sub(1));
            }
            CANCEL | 0x1a => self.is_ground = true,
            // No UTF-8 terminal of today obeys these; as text they are kept.
            0x80.. => self.grid.print(char::from(byte)),
            _ => {}
        }
    }

    fn osc_dispatch(&mut self, _parameters: &[&[u8]], ends_with_bell: bool) {
        self.is_ground = ends_with_bell;
    }

    fn esc_dispatch(&mut self, intermediates: &[u8], _ignore: bool, byte: u8) {
        self.is_ground = true;
        match (intermediates, byte) {
            ([], b'7') => self.grid.save(),
            ([], b'8') => self.grid.restore(),
            ([], b'c') => self.reset(),
            ([], b'D') => {
                let column = self.grid.column();
                self.grid.line_feed();
                self.grid.cursor.column = Some(column);
            }
            ([], b'E') => self.grid.line_feed(),
            ([], b'M') => self.reverse_line_feed(),
            ([b'('], set) => self.draws = set == b'0',
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], ignore: bool, action: char) {
        self.is_ground = true;
        let param = |index: usize| {
            let param = params.iter().nth(index).and_then(|values| values.first());
            param.map_or(0, |&value| usize::from(value))
        };
        let count = param(0).max(1);
        if intermediates == b"?" && matches!(action, 'h' | 'l') {
            let screens = [47, 1047, 1049];
            if params.iter().flatten().any(|mode| screens.contains(mode)) {
                self.full_screen(action == 'h');
            }
        }
        // Colours are the most frequent, and nothing here.
        if ignore || !intermediates.is_empty() || action == 'm' {
            return;
        }
        let (row, column) = (self.grid.cursor.row, self.grid.column());
        self.grid.cursor.column = Some(column);
        match action {
            'A' => self.move_rows(count, 0),
            'B' | 'e' => self.move_rows(0, count),
            'C' | 'a' => self.grid.move_to(row, column + count),
            'D' => self.grid.move_to(row, column.saturating_sub(count)),
            'E' => self.grid.move_to(row + count, 0),
            'F' => self.grid.move_to(row.saturating_sub(count), 0),
            'G' | '`' => self.grid.move_to(row, count - 1),
            'H' | 'f' => self.grid.move_to(count - 1, param(1).max(1) - 1),
            'd' => self.grid.move_to(count - 1, column),
            'I' => (0..count.min(MAX_TABS)).for_each(|_| self.grid.tab()),
            'J' => self.erase_screen(param(0)),
            'K' => self.erase_line(param(0)),
            'L' | 'M' | 'S' | 'T' => self.scroll(action, count.min(MAX_ROWS)),
            'P' => self.grid.row().delete(column, count),
            '@' => self.grid.row().insert(column, count),
            'X' => self.grid.row().erase(column, (column + count).min(MAX_COLUMNS - 1)),
            'b' => {
                if let Some(last) = self.last {
                    self.grid.repeat(last, count);
                }
            }
            'r' => self.set_margins(count - 1, param(1)),
            's' => self.grid.save(),
            'u' => self.grid.restore(),
            _ => {}
        }
    }
}

impl Screens {
    fn scroll(&mut self, action: char, count: usize) {
        let (first, last) = self.grid.margins;
        let row = self.grid.cursor.row;
        match action {
            'L' if (first..=last).contains(&row) => self.grid.scroll_down(row, last, count),
            'M' if (first..=last).contains(&row) => self.grid.delete_rows(row, last, count),
            'S' => self.grid.scroll_up(first, last, count),
            'T' => self.grid.scroll_down(first, last, count),
            _ => {}
        }
    }

    fn set_margins(&mut self, first: usize, last: usize) {
        let last = if last == 0 { MAX_ROWS - 1 } else { (last - 1).min(MAX_ROWS - 1) };
        if first < last {
            self.grid.margins = (first, last);
            self.grid.move_to(0, 0);
        }
    }
}
