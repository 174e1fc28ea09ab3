//! Files that a pattern names.

use std::path::{Path, PathBuf};

/// The most files of one pattern.
const LIMIT: usize = 1000;

/// Paths that match a path with `*`, `?` and `[...]` in its parts, in order. A path without them is itself,
/// whether it is there or not. As for a shell, `*` leaves hidden names out.
pub(super) fn expand(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in path {
        let text = part.to_string_lossy();
        if !text.contains(['*', '?', '[']) {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        let mut next: Vec<PathBuf> = found
            .iter()
            .filter_map(|folder| std::fs::read_dir(folder).ok())
            .flat_map(|entries| entries.filter_map(Result::ok).take(LIMIT))
            .filter(|entry| {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                (!name.starts_with('.') || text.starts_with('.'))
                    && matches(text.as_bytes(), name.as_bytes())
            })
            .map(|entry| entry.path())
            .collect();
        next.sort();
        next.truncate(LIMIT);
        found = next;
    }
    found
}

/// Whether all of a name matches.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let Some((&first, rest)) = pattern.split_first() else { return name.is_empty() };
    match (first, name.split_first()) {
        (b'*', _) if rest.first() == Some(&b'*') => matches(rest, name),
        (b'*', _) => (0..=name.len()).any(|at| matches(rest, &name[at..])),
        (_, None) => false,
        (b'[', Some((&byte, after))) => match set(rest, byte) {
            Some((has, rest)) => has && matches(rest, after),
            None => byte == b'[' && matches(rest, after),
        },
        (b'?', Some((_, after))) => matches(rest, after),
        (_, Some((&byte, after))) => first == byte && matches(rest, after),
    }
}

/// Whether a set has this byte, and what follows its end; [`None`] for one without an end.
fn set(pattern: &[u8], byte: u8) -> Option<(bool, &[u8])> {
    let is_negated = matches!(pattern.first(), Some(b'!' | b'^'));
    let set = &pattern[usize::from(is_negated)..];
    // `]` at the beginning is one of the set.
    let end = 1 + set.get(1..)?.iter().position(|&byte| byte == b']')?;
    let (mut has, mut members) = (false, &set[..end]);
    while let Some((&low, rest)) = members.split_first() {
        match rest {
            [b'-', high, after @ ..] => {
                has |= (low..=*high).contains(&byte);
                members = after;
            }
            _ => {
                has |= low == byte;
                members = rest;
            }
        }
    }
    Some((has != is_negated, &set[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn sets_are_those_of_a_shell() {
        for (pattern, name, expected) in [
            ("[0-9]*.conf", "10-a.conf", true),
            ("[0-9]*.conf", "a.conf", false),
            ("[!a]x", "bx", true),
            ("[!a]x", "ax", false),
            ("[]a]", "]", true),
            ("[ab", "[ab", true),
            ("a**b*", "axxb", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }
}
