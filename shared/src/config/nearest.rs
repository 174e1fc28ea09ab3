//! Suggestions for misspelt keys.

use strsim::osa_distance;

use super::table::{ANY_NAME, Section};

/// Longer than any key.
const LONGEST: usize = 64;

/// The known key nearest to `name` in the section `path`, with its section: one of the same section
/// that differs in a few letters, or the same name in another section.
pub(super) fn key(
    path: &str,
    name: &str,
    sections: &'static [Section],
) -> Option<(&'static str, &'static str)> {
    if name.len() > LONGEST {
        return None;
    }
    let name = name.to_lowercase().replace('-', "_");
    let near = (name.chars().count() / 3).max(1);
    sections
        .iter()
        .flat_map(|section| section.keys.iter().map(move |key| (section.path, key.name)))
        .filter(|(_, key)| *key != ANY_NAME)
        .map(|(section, key)| {
            (osa_distance(&name, key) + usize::from(section != path), section, key)
        })
        .filter(|(distance, ..)| *distance <= near)
        .min_by_key(|(distance, ..)| *distance)
        .map(|(_, section, key)| (section, key))
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
            assert_eq!(osa_distance(one, other), expected, "{one} {other}");
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
