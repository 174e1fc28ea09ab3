//! Suggestions for misspelt keys.

use super::table::{ANY_NAME, Section};

/// The known key nearest to `name` in the section `path`, with its section: one of the same section
/// that differs in a few letters, or the same name in another section.
pub(super) fn key(
    path: &str,
    name: &str,
    sections: &'static [Section],
) -> Option<(&'static str, &'static str)> {
    let name = name.to_lowercase().replace('-', "_");
    let near = (name.chars().count() / 3).max(1);
    sections
        .iter()
        .flat_map(|section| section.keys.iter().map(move |key| (section.path, key.name)))
        .filter(|(_, key)| *key != ANY_NAME)
        .map(|(section, key)| (distance(&name, key) + usize::from(section != path), section, key))
        .filter(|(distance, ..)| *distance <= near)
        .min_by_key(|(distance, ..)| *distance)
        .map(|(_, section, key)| (section, key))
}

/// The optimal string alignment distance: letters to insert, remove, replace or swap with their
/// neighbour. For a text longer than any key it is the length.
fn distance(one: &str, other: &str) -> usize {
    const LONGEST: usize = 64;
    let one: Vec<char> = one.chars().take(LONGEST + 1).collect();
    let other: Vec<char> = other.chars().collect();
    if one.len() > LONGEST {
        return one.len();
    }
    let mut last = vec![0; other.len() + 1];
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for i in 1..=one.len() {
        let mut next = vec![i; other.len() + 1];
        for j in 1..=other.len() {
            let replaced = row[j - 1] + usize::from(one[i - 1] != other[j - 1]);
            next[j] = replaced.min(row[j] + 1).min(next[j - 1] + 1);
            if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                next[j] = next[j].min(last[j - 2] + 1);
            }
        }
        last = std::mem::replace(&mut row, next);
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::{super::root::SECTIONS, *};

    #[test]
    fn distances_are_of_optimal_string_alignment() {
        for (one, other, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("modle", "model", 1),
            ("grace", "grace", 0),
        ] {
            assert_eq!(distance(one, other), expected, "{one} {other}");
        }
    }

    #[test]
    fn meant_keys_are_found_and_others_are_not() {
        for (path, name, expected) in [
            ("fd", "treshold", Some(("fd", "threshold"))),
            ("fd", "Threshold", Some(("fd", "threshold"))),
            ("", "threshold", Some(("fd", "threshold"))),
            ("http", "max-headers", Some(("http", "max_headers"))),
            ("models.NAME", "modle", Some(("models.NAME", "model"))),
            ("supervisor", "gracce", Some(("supervisor", "grace"))),
            ("", "port", None),
        ] {
            assert_eq!(key(path, name, SECTIONS), expected, "{path} {name}");
        }
    }
}
