//! What a path is, and changes that write no content: folders made, names removed and given.

use std::{
    ffi::OsStr,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, FileType, OFlags, renameat, statat, unlinkat},
    io::Errno,
};

use super::{
    error::{expect_type, failed},
    fd_scope::{FdScope, Opened},
    list::{below, kind, names},
    open::look,
    root::{Root, real_path},
    write::{make_folders, split, sync_folder},
};
use evonic_backend::{Removal, Stat, WorkplaceError};
use evonic_handles::blocking::Waiter;

/// Names of a folder that are removed before the rest of them is read.
const FOLDER_NAMES: usize = 10_000;

/// See [`evonic_backend::Backend::stat`].
pub(super) fn stat(scope: &FdScope, root: &Root, path: &str) -> Result<Stat, WorkplaceError> {
    let (_handle, stat) = look(scope, root, "look at", path)?;
    Ok(stat_of(&stat))
}

/// The kernel's answer as a workplace's.
pub(super) fn stat_of(stat: &rustix::fs::Stat) -> Stat {
    let file_type = FileType::from_raw_mode(stat.st_mode);
    let is_file = file_type == FileType::RegularFile;
    Stat {
        file_type: kind(file_type),
        size_bytes: if is_file { u64::try_from(stat.st_size).unwrap_or(0) } else { 0 },
        mode: stat.st_mode & 0o7777,
        modified: u64::try_from(stat.st_mtime).unwrap_or(0),
    }
}

/// See [`evonic_backend::Backend::make_folder`].
pub(super) fn make_folder(scope: &FdScope, root: &Root, path: &str) -> Result<(), WorkplaceError> {
    make_folders(scope, root, "make", path)?;
    let (_handle, stat) = look(scope, root, "make", path)?;
    expect_type(path, &stat, FileType::Directory)
}

/// See [`evonic_backend::Backend::rename`]. Links are renamed, not what they lead to.
pub(super) fn rename(
    scope: &FdScope,
    root: &Root,
    from: &str,
    to: &str,
) -> Result<(), WorkplaceError> {
    let (target, new_name) = entry(scope, root, "rename", to)?;
    let target = {
        let folder = target;
        real_path(&folder).map_err(failed("rename", to))?
    };
    let (folder, name) = entry(scope, root, "rename", from)?;
    // Two descriptors are all that an operation has: this one is opened without the root's.
    let target = root.open_real_folder_alone(scope, &target).map_err(failed("rename", to))?;
    renameat(&*folder, name, &*target, new_name)
        .map_err(io::Error::from)
        .and_then(|()| sync_folder(&target))
        .and_then(|()| sync_folder(&folder))
        .map_err(failed("rename", from))
}

/// See [`evonic_backend::Backend::remove`]. Never follows a link.
pub(super) fn remove(
    scope: &FdScope,
    root: &Root,
    path: &str,
    removal: Removal,
    waiter: &Waiter<'_>,
) -> Result<(), WorkplaceError> {
    let failed = failed("remove", path);
    let (folder, name) = entry(scope, root, "remove", path)?;
    let is_folder = is_folder(&folder, name).map_err(&failed)?;
    let removed = match removal {
        Removal::All if is_folder => remove_tree(scope, &folder, name, waiter),
        Removal::All | Removal::One => unlink(&folder, name, is_folder),
    };
    removed.and_then(|()| sync_folder(&folder)).map_err(failed)
}

/// The folder that the last part of a path is in, and that part, which is not followed.
fn entry<'d, 'p>(
    scope: &'d FdScope,
    root: &Root,
    operation: &'static str,
    path: &'p str,
) -> Result<(Opened<'d, OwnedFd>, &'p OsStr), WorkplaceError> {
    let (parent, name) =
        split(path.trim_end_matches('/')).ok_or_else(|| WorkplaceError::WrongType {
            path: path.to_owned(),
            found: "the workplace's own folder, or one above",
            needed: "the name of something in it",
        })?;
    let folder = root.open(scope, operation, parent, OFlags::RDONLY | OFlags::DIRECTORY)?;
    Ok((folder, name))
}

fn is_folder(folder: &OwnedFd, name: &OsStr) -> io::Result<bool> {
    let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

fn unlink(folder: &OwnedFd, name: &OsStr, is_folder: bool) -> io::Result<()> {
    let flags = if is_folder { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    Ok(unlinkat(folder, name, flags)?)
}

/// Removes a folder from its bottom up. Beside `base`, the folder it is in, one descriptor is
/// open at a time: a path below it is opened anew for each step, without links.
fn remove_tree(
    scope: &FdScope,
    base: &OwnedFd,
    name: &OsStr,
    waiter: &Waiter<'_>,
) -> io::Result<()> {
    let mut left = vec![PathBuf::from(name)];
    while let Some(path) = left.last().cloned() {
        if !waiter.is_waiting() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let folders = empty(scope, base, &path)?;
        if folders.is_empty() {
            match remove_folder(scope, base, &path) {
                // Too many names for one reading, or somebody made another one meanwhile.
                Err(error) if Errno::from_io_error(&error) == Some(Errno::NOTEMPTY) => {}
                removed => {
                    removed?;
                    left.pop();
                }
            }
        }
        left.extend(folders);
    }
    Ok(())
}

/// Removes what is in a folder and is none itself; returns the folders in it.
fn empty(scope: &FdScope, base: &OwnedFd, path: &Path) -> io::Result<Vec<PathBuf>> {
    let folder = below(scope, base, path, OFlags::RDONLY | OFlags::DIRECTORY)?;
    let mut folders = Vec::new();
    for (name, _) in names(&folder, FOLDER_NAMES)? {
        if is_folder(&folder, &name)? {
            folders.push(path.join(name));
        } else {
            unlink(&folder, &name, false)?;
        }
    }
    Ok(folders)
}

fn remove_folder(scope: &FdScope, base: &OwnedFd, path: &Path) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default();
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        None => unlink(base, name, true),
        Some(parent) => {
            let folder = below(scope, base, parent, OFlags::RDONLY | OFlags::DIRECTORY)?;
            unlink(&folder, name, true)
        }
    }
}

#[cfg(test)]
mod tests;
