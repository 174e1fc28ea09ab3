//! Values in rows and columns.

use evonic_workplace::Verdict;

use super::text::{Style, Text, text};

/// The widest a column becomes, in columns of the terminal; the last one is as it is.
const MAX_CELL_COLUMNS: usize = 200;

/// Rows in columns as wide as their widest cell.
pub(super) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> Text {
    let cell = |(column, text): (usize, &String)| match Text::from(text) {
        text if column + 1 < N => text.shortened(MAX_CELL_COLUMNS),
        text => text,
    };
    let rows: Vec<Vec<Text>> =
        rows.iter().map(|row| row.iter().enumerate().map(cell).collect()).collect();
    let head: Vec<Text> = head.into_iter().map(|name| Style::Dim.of(name)).collect();
    let widths: Vec<usize> = (0..N)
        .map(|column| rows.iter().chain([&head]).map(|row| row[column].width()).max().unwrap_or(0))
        .collect();
    let mut table = Text::default();
    for row in std::iter::once(head).chain(rows) {
        let mut line = Text::default();
        for (cell, width) in row.into_iter().zip(&widths) {
            line.push(cell.padded(width + 2));
        }
        table.line(line.trimmed());
    }
    table
}

/// A line of a page: what it is, and its value.
pub(super) fn label(name: &str, value: &str) -> Text {
    Text::of_line(text![Style::Dim.of(format!("{name:<16}")), value])
}

/// A verdict as the first cell of a line.
pub(super) fn verdict(verdict: Verdict) -> Text {
    match verdict {
        Verdict::Ok => Style::Green.of("ok     "),
        Verdict::Warning => Style::Yellow.of("warning"),
        Verdict::Failed => Style::Red.of("failed "),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::text::Palette, *};

    #[test]
    fn columns_are_as_wide_as_what_is_shown() {
        let row = |name: &str, title: &str| [name.to_owned(), title.to_owned()];
        let rows = [row("a", "one"), row("\u{1b}b", "two\nforged  row"), row("c", "")];
        let shown = "name     title\na        one\n\\x{1b}b  two\\x{a}forged  row\nc\n";
        assert_eq!(table(["name", "title"], &rows).encode(Palette::None), shown);
        let long = [row(&"x".repeat(1 << 20), &"y".repeat(1 << 20))];
        assert!(table(["name", "title"], &long).encode(Palette::None).len() < 5000);
    }
}
