//! The folder of one command. Only runners and workers reach it; its files are looked at with
//! suspicion all the same: opened below a held folder, never through a link, regular, and ours.
//!
//! | Name | Written by | Holds |
//! |---|---|---|
//! | `record` | whoever comes first, whole | a [`Claim`]: the runner, or that there will be none |
//! | `socket` | the runner | where followers connect |
//! | `out` | the runner | standard output and error, in their order |
//! | `status` | the runner, or who finds it dead | blanks, later over them one line: a [`Status`] |
//! | `tmp/` | the command | its temporary files; never read |

use std::{
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::fs::FileExt,
    },
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use rustix::{
    fs::{
        AtFlags, CWD, FileType, Mode, OFlags, fchmod, fstat, linkat, mkdir, mkdirat, openat,
        unlinkat,
    },
    io::Errno,
    process::geteuid,
};
use serde::{Deserialize, Serialize};

use crate::{process::Identity, spec::Level};

/// The room that is set aside for a status, so that a full disk cannot keep it from being written.
const STATUS_BYTES: usize = 4096;

/// The most bytes of a claim.
const CLAIM_BYTES: u64 = 64 << 10;

/// How a command ended, and what it left behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub ended: Ended,
    /// Processes of it that still ran, and were killed.
    pub left_behind: u32,
}

impl Status {
    /// That nothing of it was left.
    #[must_use]
    pub const fn clean(ended: Ended) -> Self {
        Self { ended, left_behind: 0 }
    }
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// With this code.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
    /// It did not start: why.
    NotStarted(String),
    TimedOut,
    TooMuchOutput,
    /// Its output could not be stored: why.
    Unstored(String),
    Cancelled,
    /// It never began, or its record was removed.
    NoRecord,
    /// The machine started anew while it ran.
    Restarted,
    /// Its runner was killed.
    RunnerKilled,
}

/// Who may start the command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// This runner.
    Runner {
        /// [`crate::spec::VERSION`] of its program.
        version: u32,
        runner: Identity,
        /// What followers show to the runner.
        token: String,
        /// What keeps the command inside.
        level: Level,
    },
    /// Nobody, any more: how it ended instead.
    Nobody(Ended),
}

/// A record's folder, held open. One descriptor, and one more while a file is read or written.
#[derive(Debug)]
pub struct Record {
    folder: OwnedFd,
}

impl Record {
    /// Makes the folder, for its user alone. [`None`] when it is there already.
    ///
    /// # Errors
    /// The operating system's.
    pub fn create(path: &Path) -> io::Result<Option<Self>> {
        match mkdir(path, Mode::RWXU) {
            Ok(()) => Self::open(path),
            Err(Errno::EXIST) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes the folder, or takes the one that the worker has made for a command that nobody has
    /// claimed. [`None`] when somebody has, or may have.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn take(path: &Path) -> io::Result<Option<Self>> {
        if let Some(made) = Self::create(path)? {
            return Ok(Some(made));
        }
        let Some(made) = Self::open(path)? else { return Ok(None) };
        let is_new = made.look("record")?.is_none() && made.look("status")?.is_none();
        Ok(is_new.then_some(made))
    }

    /// Opens the folder; [`None`] when there is none.
    ///
    /// # Errors
    /// The operating system's; [`io::ErrorKind::PermissionDenied`] when it is not this user's alone.
    pub fn open(path: &Path) -> io::Result<Option<Self>> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        let folder = match openat(CWD, path, flags, Mode::empty()) {
            Ok(folder) => folder,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let stat = fstat(&folder)?;
        if stat.st_uid != geteuid().as_raw() || stat.st_mode & 0o077 != 0 {
            let problem = format!("{} is not this user's alone", path.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, problem));
        }
        Ok(Some(Self { folder }))
    }

    /// Says who may start the command, unless that was said before: then false.
    ///
    /// # Errors
    /// The operating system's.
    pub fn claim(&self, claim: &Claim) -> io::Result<bool> {
        let name = format!(".{:016x}", fastrand::u64(..));
        let file = self.make(&name)?;
        let claimed =
            file.write_all_at(&serde_json::to_vec(claim)?, 0).and_then(|()| {
                match linkat(&self.folder, &name, &self.folder, "record", AtFlags::empty()) {
                    Ok(()) => Ok(true),
                    Err(Errno::EXIST) => Ok(false),
                    Err(error) => Err(error.into()),
                }
            });
        unlinkat(&self.folder, &name, AtFlags::empty())?;
        claimed
    }

    /// Who may start it; [`None`] while nobody said so.
    ///
    /// # Errors
    /// The operating system's; [`io::ErrorKind::InvalidData`] for what this program does not know.
    pub fn claimed(&self) -> io::Result<Option<Claim>> {
        let Some(file) = self.look("record")? else { return Ok(None) };
        let mut text = Vec::new();
        file.take(CLAIM_BYTES).read_to_end(&mut text)?;
        Ok(Some(serde_json::from_slice(&text)?))
    }

    /// How long ago the last of its files was made, or the folder itself; zero after a jump of the clock.
    ///
    /// # Errors
    /// The operating system's.
    pub fn age(&self) -> io::Result<Duration> {
        let stat = fstat(&self.folder)?;
        let seconds = Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or(0));
        Ok((UNIX_EPOCH + seconds).elapsed().unwrap_or_default())
    }

    /// Sets aside the room of a status.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn reserve_status(&self) -> io::Result<()> {
        self.make("status")?.write_all_at(&[b' '; STATUS_BYTES], 0)
    }

    /// The status, once it is whole.
    ///
    /// # Errors
    /// The operating system's.
    pub fn status(&self) -> io::Result<Option<Status>> {
        let Some(file) = self.look("status")? else { return Ok(None) };
        let mut text = Vec::new();
        file.take(STATUS_BYTES as u64).read_to_end(&mut text)?;
        let line = text.split_inclusive(|byte| *byte == b'\n').next();
        let line = line.filter(|line| line.ends_with(b"\n"));
        Ok(line.and_then(|line| serde_json::from_slice(line).ok()))
    }

    /// Writes the status, and waits until it is on the disk.
    ///
    /// # Errors
    /// The operating system's.
    pub fn settle(&self, status: &Status) -> io::Result<()> {
        self.write_status(status)?.sync_data()
    }

    /// Writes the status; its file, of which nothing may be on the disk yet.
    pub(crate) fn write_status(&self, status: &Status) -> io::Result<File> {
        let mut line = serde_json::to_vec(status)?;
        if line.len() >= STATUS_BYTES
            && let Ended::NotStarted(why) = &status.ended
        {
            let why = why.chars().take(STATUS_BYTES / 8).collect();
            line = serde_json::to_vec(&Status { ended: Ended::NotStarted(why), ..*status })?;
        }
        line.push(b'\n');
        let file = match self.reopen("status") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.make("status")?,
            opened => opened?,
        };
        file.write_all_at(&line, 0)?;
        Ok(file)
    }

    /// Makes `out`, empty.
    pub(crate) fn make_output(&self) -> io::Result<File> {
        self.make("out")
    }

    /// At most `limit` bytes of the output from byte `from` on; [`None`] when nothing was stored.
    ///
    /// # Errors
    /// The operating system's.
    pub fn output(&self, from: u64, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let Some(file) = self.look("out")? else { return Ok(None) };
        let size = usize::try_from(file.metadata()?.len().saturating_sub(from)).unwrap_or(limit);
        let mut bytes = vec![0; size.min(limit)];
        let mut read = 0;
        while read < bytes.len() {
            match file.read_at(&mut bytes[read..], from + read as u64)? {
                0 => break,
                length => read += length,
            }
        }
        bytes.truncate(read);
        Ok(Some(bytes))
    }

    /// Makes the folder for the command's temporary files.
    pub(crate) fn make_temporary(&self, user: Option<(u32, u32)>) -> io::Result<()> {
        mkdirat(&self.folder, "tmp", Mode::RWXU)?;
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        let folder = openat(&self.folder, "tmp", flags, Mode::empty())?;
        if let Some((user, group)) = user {
            std::os::unix::fs::fchown(&folder, Some(user), Some(group))?;
        }
        // Whatever the umask says.
        Ok(fchmod(&folder, Mode::RWXU)?)
    }

    /// The path of a name in it that fits into a socket's address, while this is held.
    #[must_use]
    pub fn short_path(&self, name: &str) -> PathBuf {
        format!("/proc/self/fd/{}/{name}", self.folder.as_fd().as_raw_fd()).into()
    }

    fn make(&self, name: &str) -> io::Result<File> {
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDWR;
        Ok(openat(&self.folder, name, flags, Mode::RUSR | Mode::WUSR)?.into())
    }

    fn reopen(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::RDWR;
        let file = openat(&self.folder, name, flags, Mode::empty())?;
        let stat = fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile
            || stat.st_uid != geteuid().as_raw()
        {
            let problem = format!("{name} of a record is no regular file of this user");
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, problem));
        }
        Ok(file.into())
    }

    fn look(&self, name: &str) -> io::Result<Option<File>> {
        match self.reopen(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            file => file.map(Some),
        }
    }
}
