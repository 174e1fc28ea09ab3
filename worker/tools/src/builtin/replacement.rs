//! Exact replacement of text in a file's content.

use crate::format;

/// Line numbers that a refusal names.
const LINES_SHOWN: usize = 10;

/// Characters of a line that a refusal shows, and by which lines are compared.
const LINE_CHARS: usize = 200;

/// Lines that are compared when nothing matches.
const LINES_COMPARED: usize = 50_000;

/// How alike a line must be to be worth showing, from 0 to 1.
const ALIKE: f64 = 0.5;

/// What is to be replaced.
#[derive(Clone, Debug)]
pub(super) struct Replacement {
    pub(super) old: String,
    pub(super) new: String,
    /// How often `old` must occur.
    pub(super) count: u64,
}

impl Replacement {
    /// Replaces every occurrence; they do not overlap. Returns the new content, and the lines
    /// where they began.
    ///
    /// # Errors
    /// What is there instead, when there are more or fewer than `count`.
    pub(super) fn apply(&self, content: &[u8]) -> Result<(Vec<u8>, Vec<u64>), String> {
        let (old, new) = (self.old.as_bytes(), self.new.as_bytes());
        if old == new {
            return Err("old and new are the same; nothing was changed".to_owned());
        }
        let places = occurrences(content, old);
        let lines = line_numbers(content, &places);
        if places.is_empty() {
            return Err(format!(
                "old is not in the file; nothing was changed.{}",
                self.hint(content)
            ));
        }
        if places.len() as u64 != self.count {
            return Err(self.miscounted(&lines));
        }
        let mut changed = Vec::with_capacity(content.len() + new.len().saturating_sub(old.len()));
        let mut end = 0;
        for place in places {
            changed.extend_from_slice(&content[end..place]);
            changed.extend_from_slice(new);
            end = place + old.len();
        }
        changed.extend_from_slice(&content[end..]);
        Ok((changed, lines))
    }

    fn miscounted(&self, lines: &[u64]) -> String {
        let times = format::plural(lines.len() as u64, "time", "times");
        let wanted = format::count(self.count);
        format!(
            "old occurs {times} ({}), count says {wanted}; nothing was changed. Give more of the \
             text around it, or count {}",
            at_lines(lines),
            lines.len()
        )
    }

    /// Why `old` may not have been found.
    fn hint(&self, content: &[u8]) -> String {
        if !self.old.contains('\r') && content.windows(2).any(|pair| pair == b"\r\n") {
            let with_returns = self.old.replace('\n', "\r\n");
            if !occurrences(content, with_returns.as_bytes()).is_empty() {
                return " The file's lines end with \\r\\n, those of old with \\n.".to_owned();
            }
        }
        match nearest(&String::from_utf8_lossy(content), &self.old) {
            Some((number, line)) => {
                let shown: String = line.chars().take(LINE_CHARS).collect();
                format!(" The nearest line is {}: {shown:?}", format::count(number))
            }
            None => " No line is like it; read the file again.".to_owned(),
        }
    }
}

/// `line 3`, `lines 3, 17, 20`, `lines 1, 2, ...`.
pub(super) fn at_lines(lines: &[u64]) -> String {
    let shown: Vec<_> = lines.iter().take(LINES_SHOWN).map(|&line| format::count(line)).collect();
    let more = if lines.len() > LINES_SHOWN { ", ..." } else { "" };
    format!("{} {}{more}", if lines.len() == 1 { "line" } else { "lines" }, shown.join(", "))
}

/// Where `wanted` begins, from left to right, without overlaps. `wanted` is not empty.
fn occurrences(content: &[u8], wanted: &[u8]) -> Vec<usize> {
    memchr::memmem::find_iter(content, wanted).collect()
}

fn line_numbers(content: &[u8], places: &[usize]) -> Vec<u64> {
    let (mut line, mut counted) = (1, 0);
    let number = |&place: &usize| {
        line += content[counted..place].iter().filter(|&&byte| byte == b'\n').count() as u64;
        counted = place;
        line
    };
    places.iter().map(number).collect()
}

/// The line that is most like the first line of `wanted` that says anything.
fn nearest<'t>(text: &'t str, wanted: &str) -> Option<(u64, &'t str)> {
    let first = wanted.lines().map(str::trim).find(|line| !line.is_empty())?;
    let shortened = |line: &str| line.chars().take(LINE_CHARS).collect::<String>();
    let first = shortened(first);
    let mut best: Option<(f64, u64, &str)> = None;
    for (number, line) in (1..).zip(text.lines().take(LINES_COMPARED)) {
        let alike = strsim::sorensen_dice(&first, &shortened(line.trim()));
        if alike >= ALIKE && best.is_none_or(|(most, ..)| alike > most) {
            best = Some((alike, number, line));
        }
    }
    best.map(|(_, number, line)| (number, line))
}

#[cfg(test)]
mod tests;
