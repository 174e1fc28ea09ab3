//! Files that a pattern names.

use std::path::{Path, PathBuf};

use super::super::pattern;

/// The most files of one pattern.
const LIMIT: usize = 1000;

/// Paths that match a path with `*` and `?` in its parts, in order. A path without them is itself,
/// whether it is there or not. As for a shell, `*` leaves hidden names out.
pub(super) fn expand(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in path {
        let text = part.to_string_lossy();
        if !text.contains(['*', '?']) {
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
                (!name.starts_with('.') || text.starts_with('.')) && pattern::matches(&text, &name)
            })
            .map(|entry| entry.path())
            .collect();
        next.sort();
        next.truncate(LIMIT);
        found = next;
    }
    found
}
