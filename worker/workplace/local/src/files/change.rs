//! What a path is, and changes that write no content: folders made, names removed and given.

use std::{
    ffi::OsStr,
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, FileType, renameat, statat, unlinkat},
    io::Errno,
};

use super::{
    attributes::plain_mode,
    fd_scope::{FdScope, Opened},
    list::{below, names},
    operation::{FOLDER, Operation},
    root::real_path,
    write::{make_folders, split, sync_folder},
};
use evonic_backend::{Removal, Result, Stat, WorkplaceError};

/// Names of a folder that are removed before the rest of them is read.
const FOLDER_NAMES: usize = 10_000;

/// See [`evonic_backend::Backend::stat`].
pub(in super::super) fn stat(op: Operation<'_>) -> Result<Stat> {
    let (handle, stat) = op.look()?;
    Ok(Stat { mode: plain_mode(&*handle, stat.st_mode) & 0o7777, ..stat_of(&stat) })
}

/// The kernel's answer as a workplace's.
pub(super) fn stat_of(stat: &rustix::fs::Stat) -> Stat {
    let file_type = evonic_backend::FileType::from_mode(stat.st_mode);
    let is_file = file_type == evonic_backend::FileType::File;
    Stat {
        file_type,
        size_bytes: if is_file { u64::try_from(stat.st_size).unwrap_or(0) } else { 0 },
        mode: stat.st_mode & 0o7777,
        modified: u64::try_from(stat.st_mtime).unwrap_or(0),
    }
}

/// See [`evonic_backend::Backend::make_folder`].
pub(in super::super) fn make_folder(op: Operation<'_>) -> Result<()> {
    make_folders(op)?;
    op.expect_type(&op.look()?.1, FileType::Directory)
}

/// See [`evonic_backend::Backend::rename`]. Links are renamed, not what they lead to.
pub(in super::super) fn rename(op: Operation<'_>, to: &str) -> Result<()> {
    let to = op.at(to);
    let (target, new_name) = entry(to)?;
    let path = real_path(&target).map_err(|error| to.failed(error))?;
    drop(target);
    let (folder, name) = entry(op)?;
    // Two descriptors are all that an operation has: this one is opened without the root's.
    let target = op.root.open_real_folder_alone(op.scope, &path);
    let target = target.map_err(|error| to.failed(error))?;
    renameat(&*folder, name, &*target, new_name)
        .map_err(io::Error::from)
        .and_then(|()| sync_folder(&target))
        .and_then(|()| sync_folder(&folder))
        .map_err(|error| op.failed(error))
}

/// See [`evonic_backend::Backend::remove`]. Never follows a link.
pub(in super::super) fn remove(op: Operation<'_>, removal: Removal) -> Result<()> {
    let (folder, name) = entry(op)?;
    let removed = is_folder(&folder, name).and_then(|is_folder| match removal {
        Removal::All if is_folder => remove_tree(op, &folder, name),
        Removal::All | Removal::One => unlink(&folder, name, is_folder),
    });
    removed.and_then(|()| sync_folder(&folder)).map_err(|error| op.failed(error))
}

/// The folder that the last part of a path is in, and that part, which is not followed.
fn entry(op: Operation<'_>) -> Result<(Opened<'_, OwnedFd>, &OsStr)> {
    let (parent, name) =
        split(op.path.trim_end_matches('/')).ok_or_else(|| WorkplaceError::WrongType {
            path: op.path.to_owned(),
            found: "the workplace's own folder, or one above",
            needed: "the name of something in it",
        })?;
    Ok((op.at(parent).open(FOLDER)?, name))
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
fn remove_tree(op: Operation<'_>, base: &OwnedFd, name: &OsStr) -> io::Result<()> {
    let mut left = vec![PathBuf::from(name)];
    while let Some(path) = left.last().cloned() {
        if !(op.is_waiting)() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let folders = empty(op.scope, base, &path)?;
        if folders.is_empty() {
            match remove_folder(op.scope, base, &path) {
                // Too many names for one reading, or another one was made meanwhile.
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
    let folder = below(scope, base, path, FOLDER)?;
    let mut folders = Vec::new();
    for (name, _) in names(&folder, FOLDER_NAMES, &|| true)? {
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
            let folder = below(scope, base, parent, FOLDER)?;
            unlink(&folder, name, true)
        }
    }
}

#[cfg(test)]
mod tests;
