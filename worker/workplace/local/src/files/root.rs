//! The workplace's folder, and paths below it.

use std::{
    ffi::OsString,
    fs, io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::{
            ffi::OsStringExt,
            fs::{chown, fchown},
        },
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{
        AtFlags, CWD, Gid, Mode, OFlags, ResolveFlags, Uid, chownat, mkdirat, openat2, readlinkat,
    },
    io::Errno,
};

use super::{
    fd_scope::{FdScope, Opened},
    operation::{FOLDER, Operation},
};
use evonic_backend::{Result, WorkplaceError};

/// How often the kernel is asked again when something renames what a path leads over.
const ATTEMPTS: u32 = 64;

/// The folder. It is opened anew for each operation, so that it may be moved away and come back.
#[derive(Clone, Debug)]
pub struct Root {
    /// As it was configured.
    configured: PathBuf,
    /// Without symbolic links.
    real: PathBuf,
    confined: bool,
    /// Who it belongs to, and what is made in it, where that is not this process's user.
    owner: Option<(u32, u32)>,
}

impl Root {
    /// Makes the folder if it is missing; it belongs to `owner` then.
    ///
    /// # Errors
    /// [`WorkplaceError::Root`] when it cannot be made or is no folder.
    pub fn new(configured: PathBuf, confined: bool, owner: Option<(u32, u32)>) -> Result<Self> {
        let failed = |source| root_error(&configured, source);
        let is_new = !configured.exists();
        fs::create_dir_all(&configured).map_err(failed)?;
        let real = fs::canonicalize(&configured).map_err(failed)?;
        if let Some((user, group)) = owner {
            let is_empty = || Ok(fs::read_dir(&real)?.next().is_none());
            if is_new || is_empty().map_err(failed)? {
                chown(&real, Some(user), Some(group)).map_err(failed)?;
            }
        }
        Ok(Self { configured, real, confined, owner })
    }

    /// The same for another folder.
    ///
    /// # Errors
    /// See [`Root::new`].
    pub fn at(&self, folder: PathBuf) -> Result<Self> {
        Self::new(folder, self.confined, self.owner)
    }

    /// A folder below this one as a root of its own, made if it is missing. No link leads to it:
    /// commands that work in this one could have put it there.
    ///
    /// # Errors
    /// [`WorkplaceError::Root`].
    pub fn below(&self, path: &Path) -> Result<Self> {
        let real = self.real.join(path);
        let failed = |source: io::Error| root_error(&real, source);
        let mut folder = self.handle_io().map_err(failed)?;
        for name in path.components() {
            let name = Path::new(name.as_os_str());
            match mkdirat(
                &folder,
                name,
                Mode::RWXU | Mode::RGRP | Mode::XGRP | Mode::ROTH | Mode::XOTH,
            ) {
                Ok(()) => {
                    folder = self.enter(&folder, name).map_err(failed)?;
                    self.give(&folder).map_err(failed)?;
                }
                Err(Errno::EXIST) => folder = self.enter(&folder, name).map_err(failed)?,
                Err(error) => return Err(failed(error.into())),
            }
        }
        Ok(Self { configured: real.clone(), real, confined: self.confined, owner: self.owner })
    }

    fn enter(&self, folder: &OwnedFd, name: &Path) -> io::Result<OwnedFd> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        Ok(open_at(folder.as_fd(), name, OFlags::RDONLY | OFlags::DIRECTORY, resolve)?)
    }

    /// Makes something that was just made the owner's.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn give(&self, made: impl AsFd) -> io::Result<()> {
        match self.owner {
            Some((user, group)) => fchown(made, Some(user), Some(group)),
            None => Ok(()),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.real
    }

    /// As [`Root::give`], for a name in a folder; a link stays its own.
    pub(super) fn give_name(&self, folder: &OwnedFd, name: &Path) -> io::Result<()> {
        let Some((user, group)) = self.owner else { return Ok(()) };
        let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
        Ok(chownat(folder, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// A path of the caller as one that the kernel resolves from the root.
    fn relative<'p>(&self, path: &'p str) -> Result<&'p Path> {
        if path == "~" || path.starts_with("~/") {
            return Err(WorkplaceError::Tilde { path: path.to_owned() });
        }
        let given = or_dot(Path::new(path));
        if !given.is_absolute() || !self.confined {
            return Ok(given);
        }
        let below =
            given.strip_prefix(&self.configured).or_else(|_| given.strip_prefix(&self.real));
        match below {
            Ok(below) => Ok(or_dot(below)),
            Err(_) => Err(WorkplaceError::Outside { path: path.to_owned() }),
        }
    }

    fn open_from(
        &self,
        root: BorrowedFd<'_>,
        operation: Operation<'_>,
        flags: OFlags,
    ) -> Result<OwnedFd> {
        let relative = self.relative(operation.path)?;
        let failed = |error: Errno| operation.failed(error);
        if !self.confined {
            return open_at(root, relative, flags, ResolveFlags::empty()).map_err(failed);
        }
        match open_at(root, relative, flags, ResolveFlags::BENEATH) {
            Err(Errno::XDEV) => self
                .open_absolute_link(root, relative, flags)
                .ok_or_else(|| WorkplaceError::Outside { path: operation.path.to_owned() })?
                .map_err(failed),
            opened => opened.map_err(failed),
        }
    }

    /// The kernel refuses absolute links beneath a folder even when they stay inside. So the path
    /// is followed to see where it ends, and that place is opened beneath the root, without links.
    /// [`None`] when it ends outside, or nowhere.
    fn open_absolute_link(
        &self,
        root: BorrowedFd<'_>,
        relative: &Path,
        flags: OFlags,
    ) -> Option<rustix::io::Result<OwnedFd>> {
        let end = open_at(root, relative, OFlags::PATH, ResolveFlags::empty()).ok()?;
        let real = real_path(&end).ok()?;
        drop(end);
        let inside = or_dot(real.strip_prefix(&self.real).ok()?);
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        Some(open_at(root, inside, flags, resolve))
    }

    /// Opens the folder at a path without links: one that [`real_path`] gave.
    pub(super) fn open_real_folder<'d>(
        &self,
        scope: &'d FdScope,
        path: &Path,
    ) -> io::Result<Opened<'d, OwnedFd>> {
        if !self.confined {
            return scope.open(|| Ok(open_at(CWD, path, FOLDER, ResolveFlags::NO_SYMLINKS)?));
        }
        let inside = or_dot(path.strip_prefix(&self.real).map_err(|_| Errno::XDEV)?);
        let root = scope.open(|| self.handle_io())?;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        scope.open(|| Ok(open_at(root.as_fd(), inside, FOLDER, resolve)?))
    }

    /// As [`Root::open_real_folder`], with one descriptor only. A path without links, below the
    /// root's own, which has none either.
    pub(super) fn open_real_folder_alone<'d>(
        &self,
        scope: &'d FdScope,
        path: &Path,
    ) -> io::Result<Opened<'d, OwnedFd>> {
        if self.confined && !path.starts_with(&self.real) {
            return Err(Errno::XDEV.into());
        }
        scope.open(|| Ok(open_at(CWD, path, FOLDER, ResolveFlags::NO_SYMLINKS)?))
    }

    fn handle_io(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        open_at(CWD, &self.real, flags, ResolveFlags::NO_SYMLINKS).map_err(|error| match error {
            Errno::LOOP => io::Error::other("a part of the path was replaced by a symbolic link"),
            error => error.into(),
        })
    }
}

impl<'o> Operation<'o> {
    /// Opens its path. Holds two descriptors meanwhile, and the one when it returns.
    ///
    /// # Errors
    /// [`WorkplaceError`].
    pub(super) fn open(self, flags: OFlags) -> Result<Opened<'o, OwnedFd>> {
        let root = self.scope.open(|| self.root.handle_io());
        let root = root.map_err(|error| root_error(&self.root.configured, error))?;
        self.scope.open(|| self.root.open_from(root.as_fd(), self, flags))
    }
}

fn or_dot(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

fn root_error(path: &Path, source: io::Error) -> WorkplaceError {
    WorkplaceError::Root { path: path.display().to_string(), source }
}

/// `openat2(2)`, close-on-exec. See <https://man7.org/linux/man-pages/man2/openat2.2.html>.
pub(super) fn open_at(
    base: BorrowedFd<'_>,
    path: &Path,
    flags: OFlags,
    resolve: ResolveFlags,
) -> rustix::io::Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC;
    let mut attempt = 1;
    loop {
        match openat2(base, path, flags, Mode::empty(), resolve) {
            // Something was renamed on the way, so that the kernel cannot tell inside from outside.
            Err(Errno::AGAIN) if attempt < ATTEMPTS => attempt += 1,
            Err(Errno::INTR) => {}
            opened => return opened,
        }
    }
}

/// Where a handle's object is now.
pub(super) fn real_path(handle: &OwnedFd) -> io::Result<PathBuf> {
    let link = format!("/proc/self/fd/{}", handle.as_raw_fd());
    let path = readlinkat(CWD, link, Vec::new())?;
    Ok(PathBuf::from(OsString::from_vec(path.into_bytes())))
}
