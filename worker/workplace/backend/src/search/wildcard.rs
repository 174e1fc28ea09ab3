//! Wildcards of `.gitignore` rules: `*`, `?`, `[a-z]`, and `**` for any number of folders.
//!
//! Matched as bytes, without recursion: of two stars only the last one can have to give way, so a
//! match takes at most the pattern's length times the text's.

/// Bytes of a class that are looked at: it has no more than 256 members.
const CLASS_BYTES: usize = 512;

/// Whether a text may end as a pattern does: most patterns are refused by their last byte.
pub(super) fn may_end(pattern: &[u8], text: &[u8]) -> bool {
    matches!(pattern, [.., b'*' | b'?' | b']']) || pattern.last() == text.last()
}

/// Whether a pattern without slashes matches a name.
pub(super) fn matches_name(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    // Behind the last star, and where what it stands for ends so far.
    let mut star = None;
    while p < pattern.len() || n < name.len() {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            star = Some((p, n));
            continue;
        }
        let step = name.get(n).and_then(|byte| one(&pattern[p..], *byte));
        match (step, star) {
            (Some(length), _) => (p, n) = (p + length, n + 1),
            (None, Some((behind, end))) if end < name.len() => {
                (p, n) = (behind, end + 1);
                star = Some((behind, end + 1));
            }
            (None, _) => return false,
        }
    }
    true
}

/// Whether a pattern matches a path, part by part.
pub(super) fn matches_path(pattern: &[u8], path: &[u8]) -> bool {
    let (mut patterns, mut names) = (Some(pattern), Some(path));
    // Behind the last `**`, and the names that it does not stand for so far.
    let mut star = None;
    loop {
        let went = match (patterns.map(first), names.map(first)) {
            (None, None) => return true,
            // Everything inside, and so at least one name.
            (Some((b"**", None)), names) => return names.is_some(),
            (Some((b"**", rest)), _) => {
                patterns = rest;
                star = names.map(|names| (rest, names));
                true
            }
            (Some((pattern, rest)), Some((name, below))) if matches_name(pattern, name) => {
                (patterns, names) = (rest, below);
                true
            }
            _ => false,
        };
        if went {
            continue;
        }
        let Some((behind, from)) = star else { return false };
        let Some(below) = first(from).1 else { return false };
        (patterns, names) = (behind, Some(below));
        star = Some((behind, below));
    }
}

/// The first part of a path, and the rest.
fn first(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    match path.iter().position(|byte| *byte == b'/') {
        Some(at) => (&path[..at], Some(&path[at + 1..])),
        None => (path, None),
    }
}

/// How long the pattern for the next byte is; nothing when it is another byte's.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match *pattern {
        [b'?', ..] => Some(1),
        [b'\\', quoted, ..] => (quoted == byte).then_some(2),
        [b'[', ref inside @ ..] => match class(&inside[..inside.len().min(CLASS_BYTES)], byte) {
            Some((matches, length)) => matches.then_some(length + 1),
            // Nothing closes it.
            None => (byte == b'[').then_some(1),
        },
        [literal, ..] => (literal == byte).then_some(1),
        [] => None,
    }
}

/// Whether a class holds a byte, and how long the class is, from behind its `[`; nothing when it
/// does not end.
fn class(inside: &[u8], byte: u8) -> Option<(bool, usize)> {
    let negated = matches!(inside.first(), Some(b'!' | b'^'));
    let begin = usize::from(negated);
    let mut at = begin;
    let mut holds = false;
    loop {
        if inside.get(at)? == &b']' && at > begin {
            return Some((holds != negated, at + 1));
        }
        let low = member(inside, &mut at)?;
        let mut high = low;
        if inside.get(at) == Some(&b'-') && inside.get(at + 1).is_some_and(|next| *next != b']') {
            at += 1;
            high = member(inside, &mut at)?;
        }
        holds |= (low..=high).contains(&byte);
    }
}

/// A byte of a class, which may be quoted.
fn member(inside: &[u8], at: &mut usize) -> Option<u8> {
    *at += usize::from(inside.get(*at)? == &b'\\');
    let byte = *inside.get(*at)?;
    *at += 1;
    Some(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bomb_takes_no_longer_than_its_length_times_that_of_the_name() {
        // Naive matchers try every way to share the name among the stars.
        let pattern = b"a*".repeat(8192).into_iter().chain(*b"b").collect::<Vec<_>>();
        assert!(!matches_name(&pattern, &[b'a'; 255]));
        assert!(!matches_name(&b"*a".repeat(100), &[b'b'; 255]));
        let folders = b"**/a/".repeat(4096).into_iter().chain(*b"b").collect::<Vec<_>>();
        let path = [&b"a/".repeat(2000)[..], b"c"].concat();
        assert!(!matches_path(&folders, &path));
        let path = [&b"a/".repeat(5000)[..], b"b"].concat();
        assert!(matches_path(&folders, &path));
    }
}
