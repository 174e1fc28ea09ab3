//! The rules of one `.gitignore` (gitignore(5)), in memory that is linear in its text.
//!
//! The text is a stranger's: whoever wrote a file below the workplace. No rule becomes a regular
//! expression, whose automata and caches may be thousands of times as large as the rule; each is
//! matched where it stands in the text, in time that is at most its length times the path's.

use std::{ops::Range, os::unix::ffi::OsStrExt, path::Path};

use super::wildcard::{matches_name, matches_path, may_end};

/// Bytes of a `.gitignore` that are read.
pub const IGNORE_BYTES: usize = 64 * 1024;

/// Bytes of the rules that are followed at once, from the root down to a folder.
const BYTES_IN_FORCE: usize = 256 * 1024;

/// Bytes that a rule counts for beside its own.
const RULE_BYTES: usize = 32;

/// What a folder's `.gitignore` says.
#[derive(Debug, Default)]
pub struct Ignored {
    folder: Box<[u8]>,
    /// Of the rules, one after the other.
    patterns: Vec<u8>,
    rules: Vec<Rule>,
    is_cut: bool,
}

/// A rule, without its marks.
#[derive(Debug)]
struct Rule {
    /// Where its pattern is.
    pattern: Range<u32>,
    /// `!`: what it matches is not ignored after all.
    keeps: bool,
    /// It ends with a slash.
    folders_only: bool,
    /// It is about the path from its folder on; else about a name at any depth.
    is_anchored: bool,
}

impl Ignored {
    /// The rules of this text in this folder; `in_force` is the [`Ignored::weight`] of those of the
    /// folders above. Give one byte more than [`IGNORE_BYTES`] of a text that is longer.
    #[must_use]
    pub fn new(folder: &Path, text: &[u8], in_force: usize) -> Self {
        let (text, is_cut) = whole_lines(text);
        let folder = folder.as_os_str().as_bytes().into();
        let mut ignored = Self { folder, is_cut, ..Self::default() };
        for line in text.split(|byte| *byte == b'\n') {
            if !ignored.add(line, in_force) {
                ignored.is_cut = true;
                break;
            }
        }
        ignored.patterns.shrink_to_fit();
        ignored.rules.shrink_to_fit();
        ignored
    }

    /// Adds the rule of a line, if it has one. False when there is no room for it.
    fn add(&mut self, line: &[u8], in_force: usize) -> bool {
        let Some((mut rule, pattern)) = Rule::parse(line) else { return true };
        let start = self.patterns.len();
        let weight = in_force + self.weight() + RULE_BYTES + pattern.len();
        let (Ok(from), Ok(to), ..=BYTES_IN_FORCE) =
            (u32::try_from(start), u32::try_from(start + pattern.len()), weight)
        else {
            return false;
        };
        rule.pattern = from..to;
        self.patterns.extend_from_slice(pattern);
        self.rules.push(rule);
        true
    }

    /// What the rules take, in bytes.
    #[must_use]
    pub const fn weight(&self) -> usize {
        self.patterns.len() + self.rules.len() * RULE_BYTES
    }

    /// Whether there are rules that are not followed: the text is too long, or there are too many.
    #[must_use]
    pub const fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// The folder that the rules are of.
    pub(super) fn folder(&self) -> &[u8] {
        &self.folder
    }

    /// Whether a path is ignored, as the last rule that matches it says; nothing when none does.
    fn verdict(&self, path: &[u8], is_folder: bool) -> Option<bool> {
        let inside = super::paths::below(&self.folder, path).filter(|inside| !inside.is_empty())?;
        let name = inside.rsplit(|byte| *byte == b'/').next().unwrap_or(inside);
        let rule = self.rules.iter().rev().find(|rule| {
            let Range { start, end } = rule.pattern;
            let pattern = &self.patterns[start as usize..end as usize];
            (is_folder || !rule.folders_only)
                && may_end(pattern, name)
                && match rule.is_anchored {
                    true => matches_path(pattern, inside),
                    false => matches_name(pattern, name),
                }
        })?;
        Some(!rule.keeps)
    }
}

impl Rule {
    /// The rule of a line and its pattern; nothing when the line is blank or a comment.
    fn parse(line: &[u8]) -> Option<(Self, &[u8])> {
        if line.starts_with(b"#") {
            return None;
        }
        let mut end = line.trim_ascii_end().len();
        // A space that is quoted belongs to the rule.
        if end < line.len() && line[..end].ends_with(b"\\") {
            end += 1;
        }
        let mut from = 0;
        let keeps = line[..end].starts_with(b"!");
        from += usize::from(keeps);
        let rooted = line[from..end].starts_with(b"/");
        from += usize::from(rooted);
        let folders_only = line[from..end].ends_with(b"/");
        end -= usize::from(folders_only);
        let pattern = line.get(from..end).filter(|pattern| !pattern.is_empty())?;
        let is_anchored = rooted || pattern.contains(&b'/');
        Some((Self { pattern: 0..0, keeps, folders_only, is_anchored }, pattern))
    }
}

/// The lines that are read of a text, and whether there are more.
fn whole_lines(text: &[u8]) -> (&[u8], bool) {
    let Some(start) = text.get(..IGNORE_BYTES).filter(|start| start.len() < text.len()) else {
        return (text, false);
    };
    (&start[..start.iter().rposition(|byte| *byte == b'\n').unwrap_or(0)], true)
}

/// Whether a path is ignored: the nearest `.gitignore` that says something about it decides.
pub fn is_ignored<'i>(
    path: &Path,
    is_folder: bool,
    nearest_first: impl Iterator<Item = &'i Ignored>,
) -> bool {
    let path = path.as_os_str().as_bytes();
    nearest_first.filter_map(|ignored| ignored.verdict(path, is_folder)).next().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use ignore::gitignore::{Gitignore, GitignoreBuilder};
    use proptest::prelude::*;

    use super::*;

    fn ours(text: &str) -> Ignored {
        Ignored::new(Path::new("/w"), text.as_bytes(), 0)
    }

    /// Those of ripgrep.
    fn theirs(text: &str) -> Gitignore {
        let mut builder = GitignoreBuilder::new("/w");
        for line in text.lines() {
            builder.add_line(None, line).unwrap();
        }
        builder.build().unwrap()
    }

    fn is(text: &str, path: &str, is_folder: bool) -> bool {
        is_ignored(Path::new(path), is_folder, std::iter::once(&ours(text)))
    }

    #[test]
    fn rules_mean_what_the_manual_says() {
        for (text, path, is_folder, expected) in [
            ("foo", "/w/a/foo", false, true),
            ("foo", "/w/foo/a", false, false),
            ("/foo", "/w/a/foo", false, false),
            ("foo/", "/w/foo", false, false),
            ("foo/", "/w/a/foo", true, true),
            ("a/b", "/w/a/b", false, true),
            ("a/b", "/w/c/a/b", false, false),
            ("**/b/c", "/w/b/c", false, true),
            ("**/b/c", "/w/x/y/b/c", false, true),
            ("a/**/b", "/w/a/b", false, true),
            ("a/**/b", "/w/a/x/y/b", false, true),
            ("a/**", "/w/a", true, false),
            ("a/**", "/w/a/x/y", false, true),
            ("a/*", "/w/a/x/y", false, false),
            ("*.log\n!keep.log", "/w/keep.log", false, false),
            ("!keep.log\n*.log", "/w/keep.log", false, true),
            ("#x", "/w/#x", false, false),
            ("\\#x", "/w/#x", false, true),
            ("\\!x", "/w/!x", false, true),
            ("x   ", "/w/x", false, true),
            ("x\\ ", "/w/x ", false, true),
            ("x\r", "/w/x", false, true),
            ("[a-c]?[!z]", "/w/b9a", false, true),
            ("[a-c]?[!z]", "/w/b9z", false, false),
            ("[]-]x", "/w/]x", false, true),
            ("bad[", "/w/bad[", false, true),
            ("a[/]b", "/w/a/b", false, false),
            ("*a*a*a*b", "/w/aaaaaaaab", false, true),
            ("x", "/elsewhere/x", false, false),
            ("x", "/w", true, false),
            ("\n\n/\n!\n", "/w/x", true, false),
        ] {
            assert_eq!(is(text, path, is_folder), expected, "{text:?} {path}");
        }
    }

    #[test]
    fn what_is_too_long_or_too_many_is_cut_at_a_line_and_told() {
        let ignored = ours(&("x\n".repeat(IGNORE_BYTES / 2)));
        assert!(ignored.is_cut() && ignored.weight() <= BYTES_IN_FORCE, "{}", ignored.weight());
        assert!(ignored.weight() > BYTES_IN_FORCE - 100, "{}", ignored.weight());
        let ignored = ours(&format!("x{}\nhalf a rule", "y".repeat(IGNORE_BYTES - 6)));
        assert!(ignored.is_cut() && ignored.rules.len() == 1, "{ignored:?}");
        assert!(!ours("a\nb").is_cut());
        let ignored = Ignored::new(Path::new("/w"), b"a\nb", BYTES_IN_FORCE - 33);
        assert!(ignored.is_cut() && ignored.rules.len() == 1, "{ignored:?}");
    }

    proptest! {
        #[test]
        fn rules_are_those_of_ripgrep(
            lines in prop::collection::vec("!?/?(\\*\\*/)?[ab*?]{1,4}(/[ab*?]{1,3}){0,2}(/\\*\\*)?/?", 1..5),
            path in "/w(/[ab]{1,3}){1,4}",
            is_folder: bool,
        ) {
            // Three stars in a row: an invalid rule to some, two stars to others.
            let text = lines.join("\n");
            prop_assume!(!text.contains("***") && lines.iter().all(|line| plain_stars(line)));
            let expected = theirs(&text).matched(&path, is_folder).is_ignore();
            prop_assert_eq!(is(&text, &path, is_folder), expected, "{:?} {}", text, path);
        }
    }

    /// Whether two stars are a whole part wherever they stand.
    fn plain_stars(line: &str) -> bool {
        line.trim_start_matches('!').split('/').all(|part| part == "**" || !part.contains("**"))
    }
}
