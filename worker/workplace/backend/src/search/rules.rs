//! What every kind's search agrees on: what is looked for, what is passed over, what is shown.

use std::path::Path;

use ignore::overrides::{Override, OverrideBuilder};
use regex::bytes::{Regex, RegexBuilder};

pub use super::gitignore::{IGNORE_BYTES, Ignored, is_ignored};
use crate::{Result, WorkplaceError};

/// Where a folder says what of it is ignored.
pub const GITIGNORE: &str = ".gitignore";

/// Bytes of a line that are looked at.
pub const LINE_BYTES: u64 = 1024 * 1024;

/// A zero byte among this many first ones makes a file a binary one.
pub const BINARY_BYTES: usize = 64 * 1024;

/// Bytes that the expression may take, compiled; and its cache while it runs.
const EXPRESSION_BYTES: usize = 8 * 1024 * 1024;
const CACHE_BYTES: usize = 1024 * 1024;

/// Bytes of a glob. It becomes a regular expression many times as long.
const GLOB_BYTES: usize = 4096;

/// Characters of a line that are shown.
const SHOWN: usize = 500;

/// Characters that are shown before a match that stands far inside its line.
const SHOWN_BEFORE: usize = 100;

/// What is looked for.
pub struct Filter {
    pattern: Regex,
    /// Relative to the folder that is searched, by the rules of `.gitignore`: without a slash it
    /// is a name at any depth.
    glob: Override,
}

impl Filter {
    /// # Errors
    /// [`WorkplaceError::Pattern`].
    pub fn new(pattern: &str, glob: Option<&str>) -> Result<Self> {
        let invalid = |message: String| WorkplaceError::Pattern { message };
        let mut expression = RegexBuilder::new(pattern);
        expression.size_limit(EXPRESSION_BYTES).dfa_size_limit(CACHE_BYTES);
        let pattern = expression.build().map_err(|error| invalid(error.to_string()))?;
        let mut globs = OverrideBuilder::new("/");
        if let Some(glob) = glob {
            if glob.len() > GLOB_BYTES {
                return Err(invalid(format!("the glob has more than {GLOB_BYTES} bytes")));
            }
            globs.add(glob).map_err(|error| invalid(error.to_string()))?;
        }
        let glob = globs.build().map_err(|error| invalid(error.to_string()))?;
        Ok(Self { pattern, glob })
    }

    /// Where in a line it stands.
    pub fn find(&self, line: &[u8]) -> Option<usize> {
        self.pattern.find(line).map(|found| found.start())
    }

    /// Whether the glob passes over a path, given relative to the folder that is searched.
    pub fn passes_over(&self, inside: &Path, is_folder: bool) -> bool {
        self.glob.matched(Path::new("/").join(inside), is_folder).is_ignore()
    }
}

/// A line as it is shown: its beginning, or when it is long the surroundings of the match.
pub fn shown(line: &[u8], at: usize) -> String {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let before = String::from_utf8_lossy(&line[..at.min(line.len())]);
    let after = String::from_utf8_lossy(&line[at.min(line.len())..]);
    let length = before.chars().count() + after.chars().count();
    if length <= SHOWN {
        return before.into_owned() + &after;
    }
    let skipped = before.chars().count().saturating_sub(SHOWN_BEFORE);
    let start = if skipped > 0 { "…" } else { "" };
    let kept = before.chars().skip(skipped).chain(after.chars());
    let room = SHOWN - 2;
    let text: String = kept.take(room).collect();
    let end = if length - skipped > room { "…" } else { "" };
    format!("{start}{text}{end}")
}
