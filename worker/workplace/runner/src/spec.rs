//! What the worker asks of a runner: one line of JSON in an anonymous file, then the bytes that the
//! command reads as its standard input.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    os::{fd::OwnedFd, unix::fs::FileExt},
    path::PathBuf,
};

use evonic_shared::named;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use serde::{Deserialize, Serialize};

/// The version of specs and records that this program writes.
pub const VERSION: u32 = 1;

/// The longest first line: arguments have 128 KiB each at the most.
const LINE_BYTES: u64 = 16 << 20;

named! {
    /// What keeps a command inside of its workplace.
    Level {
        /// Nothing: it may do what its user may.
        None = "none",
        /// Landlock and seccomp.
        Landlock = "landlock",
        /// Its own namespaces by bubblewrap, with Landlock and seccomp inside.
        Namespaces = "namespaces",
    }
}

/// A command to run, and all that its runner needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// [`VERSION`].
    pub version: u32,
    /// Letters, digits, `_` and `-`; the name of its record's folder.
    pub command_id: String,
    /// The folder of its record, which is made where the worker has not.
    pub record: PathBuf,
    /// Program and arguments. A program without a slash is looked for in `PATH`.
    pub argv: Vec<String>,
    /// Its whole environment.
    pub environment: Vec<(String, String)>,
    /// Where it starts, absolute.
    pub folder: PathBuf,
    /// How long it may run, in milliseconds.
    pub timeout_ms: u64,
    /// How much it may write to standard output and error.
    pub max_output_bytes: u64,
    pub limits: Limits,
    pub sandbox: Sandbox,
    /// The control group to run in, which is made; none when absent.
    pub group: Option<PathBuf>,
}

/// The most that each process of a command may have; none is above the service's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Processes and threads of the user.
    pub processes: u64,
    /// Writable memory.
    pub memory_bytes: u64,
    /// The size of a file.
    pub file_bytes: u64,
    pub open_files: u64,
    /// Processor time; no limit when absent.
    pub cpu_seconds: Option<u64>,
}

/// Where a command may act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    pub level: Level,
    /// The program `bwrap`; needed for [`Level::Namespaces`].
    pub bwrap: Option<PathBuf>,
    /// The workplace's folder: read, executed and written. Without symbolic links.
    pub root: PathBuf,
    /// More that is read and executed; what is missing is passed over.
    pub read: Vec<PathBuf>,
    /// More that is written, too; what is missing is passed over.
    pub write: Vec<PathBuf>,
    /// What is not there, whatever holds it. Without symbolic links.
    pub hidden: Vec<PathBuf>,
    /// Whether it has the machine's network; else none.
    pub network: bool,
    /// The user and group that it gets; those of the service when absent.
    pub user: Option<(u32, u32)>,
}

impl Spec {
    /// An anonymous file of this and of what the command reads. It cannot be changed any more.
    ///
    /// # Errors
    /// The operating system's; [`io::ErrorKind::InvalidData`] for a path that is no UTF-8.
    pub fn write(&self, stdin: &[u8]) -> io::Result<OwnedFd> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let mut file = File::from(memfd_create("evonic-spec", flags)?);
        let mut line = serde_json::to_vec(self).map_err(io::Error::from)?;
        line.push(b'\n');
        file.write_all(&line)?;
        file.write_all(stdin)?;
        file.rewind()?;
        let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
        fcntl_add_seals(&file, seals)?;
        Ok(file.into())
    }

    /// Reads it back, from the beginning, and returns it with the offset of what the command reads.
    ///
    /// # Errors
    /// The operating system's; [`io::ErrorKind::InvalidData`] for anything else than a spec of
    /// [`VERSION`].
    pub fn read(file: &File) -> io::Result<(Self, u64)> {
        let mut line = Vec::new();
        let mut whole = BufReader::new(At { file, offset: 0 }).take(LINE_BYTES);
        whole.read_until(b'\n', &mut line)?;
        let spec: Self = serde_json::from_slice(&line)?;
        if spec.version != VERSION {
            let problem = format!("a spec of version {}, {VERSION} is known", spec.version);
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        Ok((spec, line.len() as u64))
    }

    /// What the command reads, as a file of its own: it shares no offset with anybody.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn stdin(file: &File, offset: u64) -> io::Result<File> {
        let mut own = File::from(memfd_create("stdin", MemfdFlags::CLOEXEC)?);
        io::copy(&mut At { file, offset }, &mut own)?;
        own.seek(SeekFrom::Start(0))?;
        Ok(own)
    }
}

/// Reads a file whose offset others may share.
struct At<'f> {
    file: &'f File,
    offset: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read_at(buffer, self.offset)?;
        self.offset += length as u64;
        Ok(length)
    }
}
