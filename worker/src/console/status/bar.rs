//! Open descriptors as a bar.

use crate::console::text::{Style, Text};

/// A part of the bar.
#[derive(Clone, Copy)]
pub(super) struct Part {
    pub(super) glyph: char,
    /// In descriptors.
    pub(super) count: u32,
    pub(super) style: Style,
}

/// Draws parts against `full` in `cells` columns. Each part that is not empty has at least one
/// cell, as long as there is room.
pub(super) fn draw(parts: &[Part], full: u32, cells: usize) -> Text {
    let full = u64::from(full.max(1));
    let mut drawn = 0;
    let mut sum = 0;
    let mut bar = Text::default();
    for part in parts {
        sum += u64::from(part.count);
        let share = (sum * cells as u64 + full / 2) / full;
        let least = drawn + usize::from(part.count > 0);
        let end = usize::try_from(share).unwrap_or(cells).max(least).min(cells);
        bar.push(part.style.of(part.glyph.to_string().repeat(end - drawn)));
        drawn = end;
    }
    bar.push(Style::Dim.of("·".repeat(cells - drawn)));
    bar
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(counts: [u32; 3]) -> Vec<Part> {
        ['a', 'b', 'c']
            .into_iter()
            .zip(counts)
            .map(|(glyph, count)| Part { glyph, count, style: Style::Plain })
            .collect()
    }

    #[test]
    fn parts_have_their_share() {
        for (counts, expected) in [
            ([0, 0, 0], "··········"),
            ([20, 30, 0], "aabbb·····"),
            ([1, 1, 1], "abc·······"),
            ([100, 0, 0], "aaaaaaaaaa"),
            ([50, 60, 5], "aaaaabbbbb"),
            ([u32::MAX; 3], "aaaaaaaaaa"),
        ] {
            assert_eq!(draw(&parts(counts), 100, 10).plain(), expected, "{counts:?}");
        }
    }

    proptest! {
        #[test]
        fn the_bar_has_its_width(counts: [u32; 3], full: u32, cells in 0..200_usize) {
            let bar = draw(&parts(counts), full, cells);
            prop_assert_eq!(bar.width(), cells);
        }
    }
}
