//! What [`super::Backend`] asks of machines that have only a shell: lists, searches, hashes. By
//! scripts of the POSIX shell and the tools beside it, as GNU and busybox have them.
//!
//! Names are separated by NUL on their way, so that no name can be mistaken for two. What crosses
//! the wire is bounded there, and nothing is kept here but names and lines that match.

mod archive;
mod ask;
pub(crate) mod fuzzing;
mod hash;
mod lines;
mod listing;
mod names;
pub mod rules;
mod walk;

use self::rules::Filter;
use super::{Entry, Found, WorkplaceError, spool::Shell};

/// See [`super::Backend::list`]; `folder` is a path on that machine.
pub async fn list<S: Shell>(
    shell: &S,
    folder: &str,
    depth: u32,
    limit: u32,
) -> Result<(Vec<Entry>, bool), WorkplaceError> {
    listing::list(shell, folder, depth, limit).await
}

/// See [`super::Backend::search`]; `root` is the workplace's folder and `path` what is searched, both
/// paths on that machine. Paths of matches are relative to `root` where they are below it, and
/// `.gitignore` files count from `root` down.
///
/// Names are asked for first; what is wanted of them comes as one `tar`, after `rg` has taken out
/// what cannot match, where there is one. At most 1 GiB is read and a minute is spent: what was
/// left out is told as [`Found::more`].
pub async fn search<S: Shell>(
    shell: &S,
    pattern: &str,
    root: &str,
    path: &str,
    glob: Option<&str>,
    limit: u32,
) -> Result<Found, WorkplaceError> {
    let filter = Filter::new(pattern, glob)?;
    walk::search(shell, &walk::Sought { pattern, filter, root, path, limit }).await
}

/// SHA-256 of a file, by what that machine has (`sha256sum`, `shasum`, `openssl`); [`None`] when it
/// has none of these.
pub async fn sha256<S: Shell>(shell: &S, path: &str) -> Result<Option<String>, WorkplaceError> {
    hash::sha256(shell, path).await
}
