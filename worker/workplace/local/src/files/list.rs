//! Folders, listed without following links.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    io,
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
    vec,
};

use rustix::fs::{AtFlags, FileType, OFlags, RawDir, ResolveFlags, Stat, statat};

use super::{
    fd_scope::{FdScope, Opened},
    operation::{FOLDER, Operation},
    root::open_at,
};
use evonic_backend::{Entry, Result};

/// Bytes of the buffer that the kernel fills with names.
const BUFFER_BYTES: usize = 32 * 1024;

/// Names of a folder, in their order.
pub(super) type Names = BTreeMap<OsString, FileType>;

/// The names left of a folder that is being listed.
struct Level {
    path: PathBuf,
    names: vec::IntoIter<(OsString, FileType, u64)>,
}

/// See [`evonic_backend::Backend::list`]. What cannot be entered is listed and not entered.
pub(in super::super) fn list(
    op: Operation<'_>,
    depth: u32,
    limit: u32,
) -> Result<(Vec<Entry>, bool)> {
    let (base, limit) = (op.open_folder()?, limit as usize);
    let mut entries = Vec::new();
    let first =
        level(&base, PathBuf::new(), limit, op.is_waiting).map_err(|error| op.failed(error))?;
    let mut levels = vec![first];
    while let Some(level) = levels.last_mut() {
        let Some((name, file_type, size_bytes)) = level.names.next() else {
            levels.pop();
            continue;
        };
        if entries.len() == limit || !(op.is_waiting)() {
            return Ok((entries, true));
        }
        let inside = level.path.join(name);
        let path = inside.to_string_lossy().into_owned();
        let kind = evonic_backend::FileType::from_mode(file_type.as_raw_mode());
        entries.push(Entry { path, file_type: kind, size_bytes });
        if file_type == FileType::Directory && levels.len() < depth as usize {
            let room = limit - entries.len();
            let entered = below(op.scope, &base, &inside, FOLDER);
            levels.extend(
                entered.and_then(|folder| self::level(&folder, inside, room, op.is_waiting)).ok(),
            );
        }
    }
    Ok((entries, false))
}

/// Opens a path below a folder that is open, without following a link.
pub(super) fn below<'d>(
    scope: &'d FdScope,
    base: &OwnedFd,
    inside: &Path,
    flags: OFlags,
) -> io::Result<Opened<'d, OwnedFd>> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    scope.open(|| Ok(open_at(base.as_fd(), inside, flags, resolve)?))
}

/// The first names of a folder in their order: one more than `limit`, so that it shows when
/// there are more. Memory is bounded by `limit`, not by the folder. Fewer, once `go_on` says no.
pub(super) fn names(folder: &OwnedFd, limit: usize, go_on: &dyn Fn() -> bool) -> io::Result<Names> {
    let mut names = Names::new();
    let mut buffer = [MaybeUninit::uninit(); BUFFER_BYTES];
    let mut entries = RawDir::new(folder, &mut buffer);
    while go_on()
        && let Some(entry) = entries.next()
    {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if name == "." || name == ".." {
            continue;
        }
        let file_type = match entry.file_type() {
            // Some file systems do not say.
            FileType::Unknown => stat(folder, name)
                .map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.st_mode)),
            known => known,
        };
        names.insert(name.to_owned(), file_type);
        if names.len() > limit.saturating_add(1) {
            names.pop_last();
        }
    }
    Ok(names)
}

fn level(
    folder: &OwnedFd,
    path: PathBuf,
    limit: usize,
    go_on: &dyn Fn() -> bool,
) -> io::Result<Level> {
    let sized = |(name, file_type): (OsString, FileType)| {
        let size = match file_type {
            FileType::RegularFile => stat(folder, &name).map_or(0, |stat| stat.st_size),
            _ => 0,
        };
        (name, file_type, u64::try_from(size).unwrap_or(0))
    };
    let names: Vec<_> = names(folder, limit, go_on)?.into_iter().map(sized).collect();
    Ok(Level { path, names: names.into_iter() })
}

fn stat(folder: &OwnedFd, name: &OsStr) -> rustix::io::Result<Stat> {
    statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
}
