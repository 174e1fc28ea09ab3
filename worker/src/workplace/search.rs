//! What [`super::Place`] asks of machines that have only a shell: lists, searches, hashes. By
//! scripts of the POSIX shell, checked against dash, bash and busybox.

use super::{Entry, Found, WorkplaceError, spool::Shell};

/// See [`super::Place::list`]; `folder` is a path on that machine.
pub(super) async fn list<S: Shell>(
    shell: &S,
    folder: &str,
    depth: u32,
    limit: u32,
) -> Result<(Vec<Entry>, bool), WorkplaceError> {
    let _ = (shell, folder, depth, limit);
    todo!("the shell files room")
}

/// See [`super::Place::search`]; `root` is the workplace's folder and `path` what is searched, both
/// paths on that machine. Paths of matches are relative to `root` where they are below it, and
/// `.gitignore` files count from `root` down.
pub(super) async fn search<S: Shell>(
    shell: &S,
    pattern: &str,
    root: &str,
    path: &str,
    glob: Option<&str>,
    limit: u32,
) -> Result<Found, WorkplaceError> {
    let _ = (shell, pattern, root, path, glob, limit);
    todo!("the shell files room")
}

/// SHA-256 of a file, by what that machine has (`sha256sum`, `shasum`, `openssl`); [`None`] when it
/// has none of these.
pub(super) async fn sha256<S: Shell>(
    shell: &S,
    path: &str,
) -> Result<Option<String>, WorkplaceError> {
    let _ = (shell, path);
    todo!("the shell files room")
}
