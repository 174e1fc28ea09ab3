//! The table of the documentation: what gets through, by group of attempts.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use super::{Attempt, Level, User};

/// The lines between which the table stands in docs/security.md.
pub const BEGIN: &str = "<!-- attempts: begin -->";
/// See [`BEGIN`].
pub const END: &str = "<!-- attempts: end -->";

/// The table of these, as it stands in the documentation.
///
/// # Panics
/// When attempts with the same words are not let through alike, or two have one name.
#[must_use]
pub fn table(attempts: &[Attempt]) -> String {
    let mut groups: BTreeMap<&str, Vec<&Attempt>> = BTreeMap::new();
    let mut names = BTreeSet::new();
    for attempt in attempts {
        assert!(names.insert(&attempt.name), "{} stands twice", attempt.name);
        groups.entry(attempt.what).or_default().push(attempt);
    }
    let mut table = String::from(
        "| A command can | namespaces | landlock | none | Attempts |\n|---|---|---|---|---|\n",
    );
    let mut lines: Vec<(usize, String)> = groups.values().map(|group| line(group)).collect();
    lines.sort();
    for (_, line) in lines {
        let _infallible = writeln!(table, "{line}");
    }
    table
}

/// The line of a group, and where it stands: what is stopped most comes first.
fn line(group: &[&Attempt]) -> (usize, String) {
    let first = group[0];
    for attempt in group {
        let alike = (attempt.own, attempt.other) == (first.own, first.other);
        assert!(alike, "{} and {} are let through differently", first.name, attempt.name);
    }
    let cell = |level| match (first.own.at(level), first.other.at(level)) {
        (false, false) => "no",
        (true, false) => "own user",
        (true, true) => "yes",
        (false, true) => "other user",
    };
    let cells: Vec<&str> = Level::ALL.into_iter().map(cell).collect();
    let through = Level::ALL
        .iter()
        .flat_map(|level| [User::Own, User::Other].map(|user| first.is_through(*level, user)))
        .filter(|through| *through)
        .count();
    let (what, count) = (first.what, group.len());
    (through, format!("| {what} | {} | {count} |", cells.join(" | ")))
}
