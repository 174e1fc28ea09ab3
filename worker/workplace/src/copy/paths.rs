//! Paths as agents and operators write them: cut and joined by their slashes, nothing more.

/// The last part of a path; nothing for a folder that has no name in it: `.`, `..`, `~`, `/`.
pub(super) fn name(path: &str) -> Option<&str> {
    let name = path.trim_end_matches('/').rsplit('/').next()?;
    (!matches!(name, "" | "." | ".." | "~")).then_some(name)
}

/// A path below a folder.
pub(super) fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() || folder.ends_with('/') {
        format!("{folder}{name}")
    } else {
        format!("{folder}/{name}")
    }
}

/// Where an unfinished folder is: beside its path, named as an unfinished file is.
pub(super) fn unfinished(path: &str, id: &str) -> String {
    let path = path.trim_end_matches('/');
    let (folder, name) = path
        .rsplit_once('/')
        .map_or(("", path), |(_, name)| (&path[..path.len() - name.len()], name));
    format!("{folder}{}", part(name, id))
}

/// The name of an unfinished copy.
fn part(name: &str, id: &str) -> String {
    format!(".{name}.{id}.part")
}

/// Whether a name is that of an unfinished copy.
pub(super) fn is_unfinished(name: &str, id: &str) -> bool {
    name.starts_with('.') && name.ends_with(&format!(".{id}.part"))
}

/// Whether a path is another one, or below it, as far as their texts show.
pub(super) fn is_below(path: &str, folder: &str) -> bool {
    let (path, folder) = (parts(path), parts(folder));
    path.starts_with(&folder)
}

/// Whether two paths are the same, as far as their texts show.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    parts(one) == parts(other)
}

/// The parts of a path, without those that lead nowhere.
fn parts(path: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    if path.starts_with('/') {
        parts.push("/");
    }
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| !matches!(*last, "/" | "..")) => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cut_and_joined() {
        assert_eq!([name("a/b"), name("a/"), name("b")], [Some("b"), Some("a"), Some("b")]);
        assert_eq!([name("."), name("/"), name("~/"), name("a/.."), name("")], [None; 5]);
        assert_eq!([join("", "b"), join("a", "b"), join("a/", "b")], ["b", "a/b", "a/b"]);
        assert_eq!(unfinished("a/b/", "1"), "a/.b.1.part");
        assert_eq!(unfinished("/b", "1"), "/.b.1.part");
        assert_eq!(unfinished("b", "1"), ".b.1.part");
        assert!(is_unfinished(".b.1.part", "1") && !is_unfinished("b.1.part", "1"));
    }

    #[test]
    fn a_path_below_another_is_seen_through_dots() {
        for (path, folder) in [("a/b", "a"), ("a", "./a/"), ("x", "."), ("a/../b/c", "b")] {
            assert!(is_below(path, folder), "{path} {folder}");
        }
        for (path, folder) in [("ab", "a"), ("a", "a/b"), ("/a", "a"), ("../a", "a")] {
            assert!(!is_below(path, folder), "{path} {folder}");
        }
        assert!(is_same("a//b/.", "./a/b") && !is_same("a", "/a"));
    }
}
