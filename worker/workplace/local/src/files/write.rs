//! Files written whole or not at all; in place only for who allows it.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read, Write},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::FileExt,
    },
    path::{Component, Path, PathBuf},
};

use rustix::{
    fs::{
        Access, AtFlags, CWD, FallocateFlags, FileType, Mode, OFlags, Stat, accessat, fallocate,
        fstat, fsync, linkat, mkdirat, openat, renameat, statat, unlinkat,
    },
    io::Errno,
};

use super::{
    attributes::{Attributes, Refusal},
    fd_scope::{FdScope, Opened},
    operation::{FOLDER, Operation},
    root::real_path,
};
use evonic_backend::{Change, Result, Rewrite, WorkplaceError, Written};

/// How often the target is looked for again when it moves meanwhile.
const ATTEMPTS: u32 = 8;

/// The mode of a new file, before the umask.
const NEW_FILE: Mode = Mode::from_bits_truncate(0o666);

/// Of a draft that gets its rights later.
pub(super) const PRIVATE: Mode = Mode::from_bits_truncate(0o600);

/// Where a file will stand.
pub(super) struct Target<'d> {
    pub(super) folder: Opened<'d, OwnedFd>,
    pub(super) name: PathBuf,
    /// Of the file that stands there now.
    pub(super) existing: Option<Attributes>,
}

/// How the new content is kept until it becomes the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Draft {
    /// Without a name (`O_TMPFILE`): a worker that dies leaves nothing behind.
    Unnamed,
    /// Under a hidden name, on file systems that know no other way.
    Named,
}

/// The hidden name of a draft. Removed unless the draft became the file.
struct Hidden<'t> {
    folder: &'t OwnedFd,
    name: String,
    is_file: bool,
}

impl<'t> Hidden<'t> {
    fn new(folder: &'t OwnedFd) -> Self {
        Self { folder, name: format!(".evonic-{:016x}", fastrand::u64(..)), is_file: false }
    }

    fn become_file(mut self, name: &Path) -> io::Result<()> {
        renameat(self.folder, &self.name, self.folder, name)?;
        self.is_file = true;
        Ok(())
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        if !self.is_file {
            // The failure that led here is reported; this one follows from it.
            let _left = unlinkat(self.folder, &self.name, AtFlags::empty());
        }
    }
}

/// Why a file was not replaced.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nothing may take its place in its folder.
    Folder(io::Error),
    /// The new file cannot have something of the old one.
    NotKeepable(String, io::Error),
    Other(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Other(error)
    }
}

impl From<Errno> for Failure {
    fn from(error: Errno) -> Self {
        Self::Other(error.into())
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotKeepable(what, error) => Self::NotKeepable(what, error),
            Refusal::Failed(error) => Self::Other(error),
        }
    }
}

impl Failure {
    /// Of giving a draft the name of a file.
    pub(super) fn of_name(error: impl Into<io::Error>) -> Self {
        let error = error.into();
        match Errno::from_io_error(&error) {
            Some(Errno::ACCESS | Errno::PERM | Errno::BUSY | Errno::XDEV | Errno::ROFS) => {
                Self::Folder(error)
            }
            _ => Self::Other(error),
        }
    }

    /// The error of the operation.
    pub(super) fn error(self, op: Operation<'_>, folder: &OwnedFd) -> WorkplaceError {
        match self {
            Self::Folder(error) => {
                let folder = real_path(folder).unwrap_or_default();
                let shown = folder.strip_prefix(op.root.path()).unwrap_or(&folder);
                let shown = if shown.as_os_str().is_empty() { &folder } else { shown };
                WorkplaceError::unreplaceable(op.path, shown.display(), &error)
            }
            Self::NotKeepable(what, error) => WorkplaceError::not_keepable(op.path, &what, &error),
            Self::Other(error) => op.failed(error),
        }
    }
}

/// See [`evonic_backend::Backend::write`]. A link is followed: its target is replaced, not the
/// link.
pub(in super::super) fn write(
    op: Operation<'_>,
    content: &[u8],
    rewrite: Rewrite,
) -> Result<Written> {
    put(op, &find(op)?, content, rewrite)
}

/// Puts content into a target, as far as `rewrite` allows.
fn put(
    op: Operation<'_>,
    target: &Target<'_>,
    content: &[u8],
    rewrite: Rewrite,
) -> Result<Written> {
    let Some(existing) = target.existing.as_ref().filter(|_| rewrite == Rewrite::OrInPlace) else {
        let replaced = replace(op, target, content, Draft::Unnamed);
        return replaced.map_err(|failure| failure.error(op, &target.folder));
    };
    let keeps_all = |written: &Written| written.not_kept.is_empty();
    if existing.other_names() == 0 {
        match replace_if(op, target, content, Draft::Unnamed, &keeps_all) {
            Ok(Some(written)) => return Ok(written),
            Ok(None) | Err(Failure::Folder(_) | Failure::NotKeepable(..)) => {}
            Err(Failure::Other(error)) => return Err(op.failed(error)),
        }
    }
    overwrite(op, target, existing, content).map_err(|error| op.failed(error))?;
    Ok(Written::in_place())
}

/// Writes over the bytes of a file. A disk without room for them is noticed before the first.
fn overwrite(
    op: Operation<'_>,
    target: &Target<'_>,
    existing: &Attributes,
    content: &[u8],
) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let open = || openat(&*target.folder, &target.name, flags, Mode::empty());
    let file = op.scope.open(open)?.map(File::from);
    let stat = fstat(&*file)?;
    if (stat.st_dev, stat.st_ino) != (existing.stat.st_dev, existing.stat.st_ino) {
        return Err(io::Error::other("it is being moved by somebody else"));
    }
    let length = content.len() as u64;
    if length > 0 {
        match fallocate(&*file, FallocateFlags::KEEP_SIZE, 0, length) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
            Err(error) => return Err(error.into()),
        }
    }
    file.write_all_at(content, 0)?;
    file.set_len(length)?;
    file.sync_all()
}

/// See [`evonic_backend::Backend::edit`].
pub(in super::super) fn edit(
    op: Operation<'_>,
    limit_bytes: u64,
    change: Change,
    rewrite: Rewrite,
) -> Result<Written> {
    let (mut file, stat) = op.open_file()?;
    let mut content = Vec::new();
    let read = (&mut *file).take(limit_bytes.saturating_add(1)).read_to_end(&mut content);
    read.map_err(|error| op.failed(error))?;
    drop(file);
    if content.len() as u64 > limit_bytes {
        let (path, size_bytes) = (op.path.to_owned(), u64::try_from(stat.st_size).unwrap_or(0));
        return Err(WorkplaceError::TooLarge { path, size_bytes, limit_bytes });
    }
    let Some(content) = change(&content) else { return Ok(Written::default()) };
    let op = Operation { name: "write", ..op };
    let target = find(op)?;
    if target.existing.as_ref().is_none_or(|now| version(&now.stat) != version(&stat)) {
        return Err(WorkplaceError::changed(op.path));
    }
    put(op, &target, &content, rewrite)
}

/// What changes when a file's content does.
fn version(stat: &Stat) -> impl PartialEq + use<> {
    (
        (stat.st_dev, stat.st_ino, stat.st_size),
        (stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime, stat.st_ctime_nsec),
    )
}

/// Finds out where a file will stand. Missing folders are made.
pub(super) fn find(op: Operation<'_>) -> Result<Target<'_>> {
    for _ in 0..ATTEMPTS {
        let found = match op.look() {
            Ok((handle, stat)) => {
                op.expect_type(&stat, FileType::RegularFile)?;
                let real = real_path(&handle).map_err(|error| op.failed(error))?;
                drop(handle);
                existing(op, &real, &stat).map_err(|error| op.failed(error))?
            }
            Err(error) if error.is_missing() => missing(op)?,
            Err(error) => return Err(error),
        };
        if let Some(target) = found {
            return Ok(target);
        }
    }
    Err(op.failed(io::Error::other("it is being moved by somebody else")))
}

/// The target that this path, without links, is; [`None`] when it has moved.
fn existing<'o>(op: Operation<'o>, real: &Path, stat: &Stat) -> io::Result<Option<Target<'o>>> {
    let (Some(parent), Some(name)) = (real.parent(), real.file_name()) else { return Ok(None) };
    let folder = match op.root.open_real_folder(op.scope, parent) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    match statat(&*folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(now) if (now.st_dev, now.st_ino) == (stat.st_dev, stat.st_ino) => {
            // Renaming over a file asks nothing of the file: a read-only one would be replaced.
            accessat(&*folder, name, Access::WRITE_OK, AtFlags::empty())?;
            let existing = Attributes::read(&folder, Path::new(name), now)?;
            Ok(Some(Target { folder, name: PathBuf::from(name), existing: Some(existing) }))
        }
        Ok(_) | Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The target for a file that is not there yet; [`None`] when something stands there by now.
fn missing(op: Operation<'_>) -> Result<Option<Target<'_>>> {
    let (parent, name) = split(op.path).ok_or_else(|| WorkplaceError::WrongType {
        path: op.path.to_owned(),
        found: "the name of a folder",
        needed: "the name of a file",
    })?;
    make_folders(op.at(parent))?;
    let folder = op.at(parent).open(FOLDER)?;
    match statat(&*folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(Some(Target { folder, name: name.into(), existing: None })),
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => {
            let problem = "it is a symbolic link to something that is missing";
            Err(op.failed(io::Error::other(problem)))
        }
        Ok(_) => Ok(None),
        Err(error) => Err(op.failed(error)),
    }
}

/// The folder and the name; [`None`] when the path cannot be a file's.
pub(super) fn split(path: &str) -> Option<(&str, &OsStr)> {
    if path.ends_with('/') || path.ends_with("/.") {
        return None;
    }
    let name = Path::new(path).file_name()?;
    let parent = Path::new(path).parent()?.to_str()?;
    Some((if parent.is_empty() { "." } else { parent }, name))
}

/// Makes the folders of a path that are missing, each beneath the root.
pub(super) fn make_folders(op: Operation<'_>) -> Result<()> {
    if op.look().is_ok() {
        return Ok(());
    }
    let mut above = PathBuf::from(if op.path.starts_with('/') { "/" } else { "." });
    for part in Path::new(op.path).components() {
        let next = above.join(part);
        let text = |path: &Path| path.to_str().map(str::to_owned).unwrap_or_default();
        if let Component::Normal(name) = part {
            let is_missing = match op.at(&text(&next)).look() {
                Ok(_) | Err(WorkplaceError::Outside { .. }) => false,
                Err(error) if error.is_missing() => true,
                Err(error) => return Err(error),
            };
            if is_missing {
                let above = text(&above);
                let (folder, _) = op.at(&above).look()?;
                match mkdirat(&*folder, name, Mode::RWXU | Mode::RWXG | Mode::RWXO) {
                    Ok(()) => {
                        let given = op.root.give_name(&folder, Path::new(name));
                        given.map_err(|error| op.failed(error))?;
                    }
                    Err(Errno::EXIST) => {}
                    Err(error) => return Err(op.failed(error)),
                }
            }
        }
        above = next;
    }
    Ok(())
}

/// Puts a new file in the place of a target.
fn replace(
    op: Operation<'_>,
    target: &Target<'_>,
    content: &[u8],
    draft: Draft,
) -> Result<Written, Failure> {
    let replaced = replace_if(op, target, content, draft, &|_| true)?;
    Ok(replaced.expect("nothing is refused"))
}

/// As [`replace`]; nothing happens where the new file is not `fit`.
fn replace_if(
    op: Operation<'_>,
    target: &Target<'_>,
    content: &[u8],
    draft: Draft,
    fit: &dyn Fn(&Written) -> bool,
) -> Result<Option<Written>, Failure> {
    let scope = op.scope;
    let folder: &OwnedFd = &target.folder;
    let mode = if target.existing.is_some() { PRIVATE } else { NEW_FILE };
    let (mut file, hidden) = match draft {
        Draft::Unnamed => match create(scope, folder, ".", OFlags::TMPFILE, mode) {
            Err(error) if knows_no_unnamed(&error) => {
                return replace_if(op, target, content, Draft::Named, fit);
            }
            opened => (opened.map_err(|error| of_draft(target, error))?, None),
        },
        Draft::Named => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
            let hidden = Hidden::new(folder);
            let opened = create(scope, folder, &hidden.name, flags, mode);
            (opened.map_err(|error| of_draft(target, error))?, Some(hidden))
        }
    };
    file.write_all(content)?;
    let written = match &target.existing {
        Some(existing) => existing.give(&file, None)?,
        None => {
            op.root.give(&*file)?;
            Written::default()
        }
    };
    if !fit(&written) {
        return Ok(None);
    }
    file.sync_all()?;
    let hidden = match hidden {
        Some(hidden) => hidden,
        None => link(&file, Hidden::new(folder)).map_err(|error| of_draft(target, error))?,
    };
    hidden.become_file(&target.name).map_err(|error| of_draft(target, error))?;
    sync_folder(folder)?;
    Ok(Some(written))
}

/// The error of a draft's name. For a new file it is as plain as any.
fn of_draft(target: &Target<'_>, error: io::Error) -> Failure {
    match target.existing {
        Some(_) => Failure::of_name(error),
        None => Failure::Other(error),
    }
}

/// Makes what changed in a folder survive the machine.
pub(super) fn sync_folder(folder: &OwnedFd) -> io::Result<()> {
    match fsync(folder) {
        // Some file systems keep no folder apart from its files.
        Err(Errno::INVAL) => Ok(()),
        synced => Ok(synced?),
    }
}

fn create<'d>(
    scope: &'d FdScope,
    folder: &OwnedFd,
    name: &str,
    how: OFlags,
    mode: Mode,
) -> io::Result<Opened<'d, File>> {
    let flags = how | OFlags::WRONLY | OFlags::CLOEXEC;
    Ok(scope.open(|| openat(folder, name, flags, mode))?.map(File::from))
}

fn knows_no_unnamed(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT))
}

/// Gives an unnamed draft its hidden name: only a name can replace a name.
fn link<'t>(file: &File, hidden: Hidden<'t>) -> io::Result<Hidden<'t>> {
    let draft = format!("/proc/self/fd/{}", file.as_raw_fd());
    linkat(CWD, draft, hidden.folder, &hidden.name, AtFlags::SYMLINK_FOLLOW)?;
    Ok(hidden)
}

#[cfg(test)]
mod tests;
