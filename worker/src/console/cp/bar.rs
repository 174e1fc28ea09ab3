//! How far a copy is, on one line of a terminal.

use std::time::{Duration, Instant};

use crate::console::{
    format::{bytes, duration},
    text::{Style, Text, text},
};

/// The pause between two lines: more often nobody sees it.
const MIN_PAUSE: Duration = Duration::from_millis(100);

/// Columns of the bar itself.
const BAR_COLUMNS: u64 = 20;

#[derive(Debug, Default)]
pub(super) struct Bar {
    /// In bytes.
    total: u64,
    /// The first position, and its moment: what was there before is not this copy's speed.
    began: Option<(Instant, u64)>,
    drawn_at: Option<Instant>,
}

impl Bar {
    /// Takes the bytes of the whole copy.
    pub(super) fn plan(&mut self, total: u64) {
        self.total = total;
    }

    /// The line of a position, in bytes; none while the last one is fresh.
    pub(super) fn moved(&mut self, path: &str, position: u64, columns: usize) -> Option<Text> {
        let now = Instant::now();
        let (began, first) = *self.began.get_or_insert((now, position));
        if self.drawn_at.is_some_and(|drawn| now - drawn < MIN_PAUSE) {
            return None;
        }
        self.drawn_at = Some(now);
        let moved = position.saturating_sub(first);
        Some(line(path, position, self.total, rate(moved, now - began), columns))
    }
}

/// Bytes a second; none before there is a measure of it.
#[expect(clippy::cast_precision_loss, reason = "shown with two digits")]
fn rate(bytes: u64, elapsed: Duration) -> Option<f64> {
    let rate = bytes as f64 / elapsed.as_secs_f64();
    (rate.is_finite() && rate >= 1.0).then_some(rate)
}

/// The path, and on the right how much of it is there, how fast it goes, and for how long still.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "positive, shown with two digits, and saturates"
)]
fn line(path: &str, position: u64, total: u64, rate: Option<f64>, columns: usize) -> Text {
    let share = u128::from(position) * u128::from(BAR_COLUMNS) / u128::from(total.max(1));
    let done = usize::try_from(share.min(BAR_COLUMNS.into())).unwrap_or(0);
    let bar = Style::Cyan.of("█".repeat(done));
    let rest = Style::Dim.of("·".repeat(BAR_COLUMNS as usize - done));
    let mut right = text![format!(" {}/{} ", bytes(position), bytes(total))];
    if let Some(rate) = rate {
        let left = duration(total.saturating_sub(position) as f64 / rate);
        right.push(format!("{}/s {left} ", bytes(rate as u64)));
    }
    right.push(text!["[", bar, rest, "]"]);
    let room = columns.saturating_sub(right.width() + 1);
    text![Text::from(path).shortened(room).padded(room), right]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_its_width_whatever_the_path_is() {
        let shown = |path: &str, position, rate| line(path, position, 4 << 20, rate, 80).plain();
        for (text, wanted) in [
            (
                shown("a/b", 1 << 20, Some(1024.0 * 1024.0)),
                "a/b                      1.0 MiB/4.0 MiB 1.0 MiB/s 3.0 s [█████···············]",
            ),
            (
                shown("\u{1b}]0;x\u{7}/very/long/names/of/files/x", 9 << 20, None),
                "\\x{1b}]0;x\\x{7}/very/long/names/of/file… 9.0 MiB/4.0 MiB [████████████████████]",
            ),
        ] {
            assert_eq!(text, wanted);
            assert_eq!(text.chars().count(), 79);
        }
        assert_eq!(rate(10, Duration::ZERO), None);
        assert_eq!(rate(10, Duration::from_secs(2)), Some(5.0));
    }

    #[test]
    fn lines_are_not_more_than_anybody_sees() {
        let mut bar = Bar::default();
        bar.plan(10);
        let drawn = (0..1000).filter(|&at| bar.moved("x", at, 80).is_some()).count();
        assert!((1..500).contains(&drawn), "{drawn}");
    }
}
