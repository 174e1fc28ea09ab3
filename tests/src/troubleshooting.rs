//! The tables of `docs/install.md` under "When something is wrong": what is seen there is what the
//! programs say.

const PAGE: &str = include_str!("../../docs/install.md");

/// Stands in a row for what differs from one machine to the next.
const VARIABLE: char = '…';

/// What each row says is seen: the code of its first column.
///
/// # Panics
/// When the page has no such section, or a row begins without code.
#[must_use]
pub fn rows() -> Vec<&'static str> {
    let (_, section) = PAGE.split_once("\n## When something is wrong\n").expect("the section");
    let section = section.split("\n## ").next().unwrap_or(section);
    let rows = section.lines().filter(|line| {
        line.starts_with('|') && !line.starts_with("| Seen") && !line.starts_with("|---")
    });
    rows.map(|line| line.split('`').nth(1).unwrap_or_else(|| panic!("no code in: {line}")))
        .collect()
}

/// Asserts that this is a row of the tables, and that its words are in what was seen, in their
/// order.
///
/// # Panics
/// When there is no such row, or other words are seen.
#[track_caller]
pub fn assert_documented(row: &str, seen: &str) {
    assert!(rows().contains(&row), "docs/install.md has no row {row:?}");
    // A screen breaks lines where it likes.
    let seen = seen.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut rest = seen.as_str();
    for piece in row.split(VARIABLE) {
        let piece = piece.trim();
        let Some((_, after)) = rest.split_once(piece) else {
            panic!("{piece:?} of {row:?} is not in:\n{seen}")
        };
        rest = after;
    }
}
