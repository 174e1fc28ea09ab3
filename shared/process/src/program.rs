//! Where the programs of a release are: beside the path by which this one was called.
//!
//! The kernel knows a program by its file, without symbolic links. Where releases are switched by one
//! (`current -> releases/42`), that file is of the old release for ever, and gone once its folder is
//! deleted; the path as it was called leads to the release that is meant.

use std::{
    env,
    ffi::OsString,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Symbolic links of a program's own file that are followed.
const MAX_LINKS: usize = 8;

/// The paths at which the program of this name may be found, for as long as this process lives: those
/// beside the path as it was called first, one for each symbolic link that this is, and the one
/// beside the file itself last. Holds at the start of a process only: the link may be switched later.
#[must_use]
pub fn beside(name: &str) -> Vec<PathBuf> {
    let file = env::current_exe().ok();
    let called = env::args_os().next().and_then(|name| called(name, file.as_deref()?));
    let mut found = called.map(|path| beside_links(path, name)).unwrap_or_default();
    let beside_file = file.map(|file| file.with_file_name(name));
    if let Some(path) = beside_file.filter(|path| !found.contains(path)) {
        found.push(path);
    }
    found
}

/// The absolute path by which a program was called, if it leads to this file: a caller may say
/// anything.
fn called(name: OsString, file: &Path) -> Option<PathBuf> {
    let name = PathBuf::from(name);
    let leads_here = |path: &PathBuf| is_same(path, file).unwrap_or(false);
    if name.parent().is_none_or(|folder| folder.as_os_str().is_empty()) {
        let folders = env::var_os("PATH")?;
        let paths = env::split_paths(&folders).map(|folder| folder.join(&name));
        return paths.filter(|path| path.is_absolute()).find(leads_here);
    }
    Some(if name.is_absolute() { name } else { working_folder()?.join(name) }).filter(leads_here)
}

/// As the shell has it, with the symbolic links that led there.
fn working_folder() -> Option<PathBuf> {
    let logical = env::var_os("PWD").map(PathBuf::from).filter(|path| path.is_absolute());
    let logical = logical.filter(|path| is_same(path, Path::new(".")).unwrap_or(false));
    logical.or_else(|| env::current_dir().ok())
}

fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    let (one, other) = (fs::metadata(one)?, fs::metadata(other)?);
    Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
}

/// The paths of this name beside a path, and beside what it leads to, link by link.
fn beside_links(mut path: PathBuf, name: &str) -> Vec<PathBuf> {
    let mut found = vec![path.with_file_name(name)];
    for _ in 0..MAX_LINKS {
        let Ok(target) = fs::read_link(&path) else { break };
        path = path.parent().unwrap_or(Path::new("/")).join(target);
        found.push(path.with_file_name(name));
    }
    found
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_path_is_kept_as_it_was_called() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("releases/42")).unwrap();
        fs::create_dir(root.join("bin")).unwrap();
        let file = root.join("releases/42/program");
        fs::write(&file, "").unwrap();
        symlink("releases/42", root.join("current")).unwrap();
        symlink("../current/program", root.join("bin/program")).unwrap();

        let path = called(root.join("current/program").into(), &file).unwrap();
        assert_eq!(beside_links(path, "other"), [root.join("current/other")]);
        let path = called(root.join("bin/program").into(), &file).unwrap();
        let found = beside_links(path, "other");
        assert_eq!(found, [root.join("bin/other"), root.join("bin/../current/other")]);
    }

    #[test]
    fn what_leads_elsewhere_is_not_believed() {
        let file = env::current_exe().unwrap();
        assert_eq!(called("/bin/sh".into(), &file), None);
        assert_eq!(called("sh".into(), &file), None);
        assert_eq!(called("/nowhere/sh".into(), &file), None);
        assert_eq!(called(file.clone().into(), &file), Some(file));
    }

    #[test]
    fn the_file_itself_is_the_last_resort() {
        let own = env::current_exe().unwrap();
        assert_eq!(beside("other").last(), Some(&own.with_file_name("other")));
    }
}
