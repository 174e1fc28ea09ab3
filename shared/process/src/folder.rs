//! The service's own folders, opened once: who owns them, who may enter, whether they are still there.
//!
//! What holds a folder by its descriptor is not misled by another one of the same name, and puts back
//! a mode even where the new one lets nobody in.

use std::{
    fs, io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::DirBuilderExt,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat},
    io::Errno,
};

use crate::occupant::Occupant;

/// The mode of the state folder and of all folders in it.
pub const PRIVATE: u32 = 0o700;

/// The mode of the runtime folder: members of the service's group reach the sockets in it.
pub const GROUP: u32 = 0o750;

/// The mode of every file in either.
pub const FILE: u32 = 0o600;

/// What the owner must be able to do with a folder.
const OWNER: u32 = 0o700;

const PERMISSIONS: u32 = 0o7777;

/// A folder, or a file in it, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It cannot be made or opened.
    #[error("the folder {} cannot be used", path.display())]
    Open {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Something else is at its path, or at that of a folder above it.
    #[error(
        "the folder {} cannot be made: {} is {occupant}; move it away, or choose another folder",
        path.display(), at.display()
    )]
    InTheWay { path: PathBuf, at: PathBuf, occupant: Occupant },
    /// Its owner could change what the service trusts.
    #[error(
        "{} belongs to uid {owner}, and this process is of uid {own}: `chown -R {own} {}` as root, \
         or choose another folder",
        path.display(), path.display()
    )]
    Foreign { path: PathBuf, owner: u32, own: u32 },
    /// The mode of a file in it cannot be changed.
    #[error("{} cannot be closed to others: `chmod go-rwx {}`", path.display(), path.display())]
    Tighten {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// How a folder differs from what was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    Sound,
    /// Another mode: this one.
    Mode(u32),
    /// Another owner: this one.
    Owner(u32),
    /// At its path is something else, or nothing that can be reached.
    Replaced,
}

/// A folder of the service's user: one descriptor.
#[derive(Debug)]
pub struct Folder {
    descriptor: OwnedFd,
    path: PathBuf,
    mode: u32,
    owner: u32,
}

impl Folder {
    /// Opens a folder, and makes it and its parents where it is missing. One that others may enter
    /// further than `mode` says, or its owner may not, is mended, and the log says so.
    ///
    /// # Errors
    /// [`FolderError::Open`]; [`FolderError::Foreign`] for one of another user.
    pub fn open(path: &Path, mode: u32) -> Result<Self, FolderError> {
        let failed = |source| FolderError::Open { path: path.to_owned(), source };
        let is_new = !path.exists();
        let made = fs::DirBuilder::new().recursive(true).mode(mode).create(path);
        made.map_err(|error| in_the_way(path).unwrap_or_else(|| failed(error)))?;
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        // A handle needs no permission, and what it names cannot be exchanged meanwhile.
        let handle = rustix::fs::open(path, flags | OFlags::PATH, Mode::empty());
        let handle = handle.map_err(|errno| failed(errno.into()))?;
        let found = rustix::fs::fstat(&handle).map_err(|errno| failed(errno.into()))?;
        let own = rustix::process::geteuid().as_raw();
        if found.st_uid != own {
            return Err(FolderError::Foreign { path: path.to_owned(), owner: found.st_uid, own });
        }
        // A new one has what the umask left of its mode.
        let wanted = if is_new { mode } else { permissions(&found) & mode | OWNER };
        if permissions(&found) != wanted {
            let link = format!("/proc/self/fd/{}", handle.as_raw_fd());
            rustix::fs::chmod(link, Mode::from_raw_mode(wanted))
                .map_err(|errno| failed(errno.into()))?;
            if !is_new {
                tracing::warn!(
                    path = %path.display(),
                    mode = %octal(permissions(&found)),
                    now = %octal(wanted),
                    "folder's mode is put right"
                );
            }
        }
        let descriptor = rustix::fs::openat(&handle, c".", flags | OFlags::RDONLY, Mode::empty());
        let descriptor = descriptor.map_err(|errno| failed(errno.into()))?;
        Ok(Self { descriptor, path: path.to_owned(), mode: wanted, owner: own })
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its mode when it was opened.
    pub const fn mode(&self) -> u32 {
        self.mode
    }

    /// Whether another one is this folder, under whatever name.
    pub fn is_same(&self, other: &Self) -> bool {
        let identity = |folder: &Self| {
            rustix::fs::fstat(&folder.descriptor).map(|stat| (stat.st_dev, stat.st_ino))
        };
        matches!((identity(self), identity(other)), (Ok(own), Ok(its)) if own == its)
    }

    /// How it differs from what was opened.
    ///
    /// # Errors
    /// The OS error: nothing can be said.
    pub fn condition(&self) -> io::Result<Condition> {
        let held = rustix::fs::fstat(&self.descriptor)?;
        let Ok(named) = rustix::fs::statat(CWD, &self.path, AtFlags::empty()) else {
            return Ok(Condition::Replaced);
        };
        let same = (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino);
        Ok(match held.st_uid {
            _ if !same => Condition::Replaced,
            owner if owner != self.owner => Condition::Owner(owner),
            _ if permissions(&held) != self.mode => Condition::Mode(permissions(&held)),
            _ => Condition::Sound,
        })
    }

    /// Gives it back the mode that it had when it was opened.
    ///
    /// # Errors
    /// The OS error.
    pub fn restore_mode(&self) -> io::Result<()> {
        Ok(rustix::fs::fchmod(&self.descriptor, Mode::from_raw_mode(self.mode))?)
    }

    /// Closes a file of this name to others, if it is there, belongs to this user, and is open to
    /// them; the log says so. It is changed without being opened: the locks of a database end when
    /// any descriptor of its file is closed.
    ///
    /// What is no regular file is left alone. Nobody else can exchange it meanwhile: the folder lets
    /// nobody in.
    ///
    /// # Errors
    /// [`FolderError::Foreign`], [`FolderError::Tighten`].
    pub fn tighten(&self, name: &str) -> Result<(), FolderError> {
        let path = self.path.join(name);
        let failed =
            |errno: Errno| FolderError::Tighten { path: path.clone(), source: errno.into() };
        let found = match rustix::fs::statat(&self.descriptor, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => found,
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(failed(errno)),
        };
        if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
            return Ok(());
        }
        if found.st_uid != self.owner {
            let (owner, own) = (found.st_uid, self.owner);
            return Err(FolderError::Foreign { path, owner, own });
        }
        let mode = permissions(&found);
        if mode & !FILE != 0 {
            rustix::fs::chmodat(
                &self.descriptor,
                name,
                Mode::from_raw_mode(FILE),
                AtFlags::empty(),
            )
            .map_err(failed)?;
            tracing::info!(path = %path.display(), mode = %octal(mode), "file is closed to others");
        }
        Ok(())
    }
}

/// The error of a folder that cannot be made because the first of its parents, or its own path, is
/// something else.
fn in_the_way(path: &Path) -> Option<FolderError> {
    let parents = path.ancestors().collect::<Vec<_>>().into_iter().rev();
    let mut others = parents.filter(|path| !path.as_os_str().is_empty() && !path.is_dir());
    let at = others.next()?.to_owned();
    let occupant = Occupant::of(&at).ok()??;
    Some(FolderError::InTheWay { path: path.to_owned(), at, occupant })
}

fn permissions(stat: &Stat) -> u32 {
    stat.st_mode & PERMISSIONS
}

/// A mode as people write it.
pub fn octal(mode: u32) -> String {
    format!("{mode:04o}")
}

#[cfg(test)]
mod tests;
