//! Many small files in one go, by `tar` on a machine that has only a shell: a script for each batch
//! instead of several requests for each file. Both directions are bounded in memory.
//!
//! What comes from a machine is a stranger's word: of its archive counts what was asked for, by its
//! name, in its size; links, devices and paths that lead elsewhere are not asked for. What goes there is
//! made here: regular files and nothing else.

use std::{
    collections::HashMap,
    io,
    ops::ControlFlow,
    time::{Duration, SystemTime},
};

use bytes::{Bytes, BytesMut};
use tar::{Builder, EntryType, Header};
use tokio::time::timeout;

use crate::{
    Result, Stage, WorkplaceError,
    archive::{Archive, Part},
    spool::{
        FLOOD_BYTES, Gathered, OutputSink, Purpose, Script, ScriptEnd, ScriptOutput, Shell, gather,
        run_framed,
    },
};

/// The largest file that goes with others.
pub const FILE_BYTES: u64 = 64 * 1024;

/// The most files of one batch, and the most bytes of them.
pub const FILES: usize = 256;
pub const BYTES: u64 = 4 * 1024 * 1024;

/// How long a batch may take.
const TIMEOUT: Duration = Duration::from_secs(120);

/// What the script exits with when a program is missing.
const MISSING: i32 = 44;

/// What it exits with when a file changed meanwhile.
const SPOILT: i32 = 45;

/// Bytes of a script's answer that are kept: a hash and its name for each file.
const ANSWER_BYTES: usize = 256 * 1024;

/// A small file. Its path is relative to the folder of its batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmallFile {
    pub path: String,
    pub mode: u32,
    pub content: Bytes,
}

/// The files of standard input (names that end with NUL) below `$1`, as one archive. One that changes
/// while it is read, or is gone, spoils all.
const READ: &str = r#"LC_ALL=C; export LC_ALL; unset TAR_OPTIONS
for tool in tar xargs; do command -v $tool >/dev/null 2>&1 || exit 44; done
cd "$1" 2>/dev/null || exit 42
xargs -0 -r tar -cf - 2>/dev/null || exit 45
"#;

/// Unpacks standard input below `$1`, and tells the hashes of the files that the list `$2` in it
/// names.
const WRITE: &str = r#"LC_ALL=C; export LC_ALL; unset TAR_OPTIONS
for tool in tar xargs sha256sum; do command -v $tool >/dev/null 2>&1 || exit 44; done
cd "$1" || exit 1
umask 022
tar -xpof - || exit 1
exec <"$2" && rm -f -- "$2" || exit 1
xargs -0 sha256sum
"#;

/// Reads files below a folder, each of at most [`FILE_BYTES`]. A file that is missing in the answer
/// cannot be read, or is no regular file any more. [`None`] when the machine lacks a program.
///
/// # Errors
/// [`WorkplaceError`].
pub async fn read(
    shell: &dyn Shell,
    folder: &str,
    paths: &[String],
) -> Result<Option<Vec<SmallFile>>> {
    let mut input = Vec::new();
    for path in paths {
        input.extend_from_slice(b"./");
        input.extend_from_slice(path.as_bytes());
        input.push(0);
    }
    let script = Script {
        text: READ.to_owned(),
        arguments: vec![folder.to_owned()],
        input: input.into(),
        purpose: Purpose::Serve,
    };
    let mut reading = Reading {
        archive: Archive::default(),
        wanted: paths.iter().map(|path| (path.as_bytes(), path)).collect(),
        file: None,
        files: Vec::new(),
        complaint: Gathered::new(1000),
        malformed: None,
        read: 0,
    };
    let ran = timeout(TIMEOUT, run_framed(shell, script, &mut reading)).await;
    if let Some(error) = reading.malformed {
        return Err(WorkplaceError::path("read", folder, error));
    }
    match ran.unwrap_or_else(|_| Err(slow()))? {
        Some(ScriptEnd::Exited(0)) => Ok(Some(reading.files)),
        Some(ScriptEnd::Exited(MISSING)) => Ok(None),
        // Each goes alone then, and who reads it notices what changed.
        Some(ScriptEnd::Exited(SPOILT)) => Ok(Some(Vec::new())),
        end => Err(failed("read", folder, end, &reading.complaint.complaint())),
    }
}

/// Writes files below a folder that is nobody else's, and returns the SHA-256 of each as the machine
/// reads it back, in 64 hexadecimal digits, by its path. [`None`] when the machine lacks a program.
///
/// # Errors
/// [`WorkplaceError`].
pub async fn write(
    shell: &dyn Shell,
    folder: &str,
    files: &[SmallFile],
) -> Result<Option<HashMap<String, String>>> {
    let list = format!(".evonic-{:016x}.names", fastrand::u64(..));
    let packed = pack(files, &list);
    let script = Script {
        text: WRITE.to_owned(),
        arguments: vec![folder.to_owned(), list],
        input: packed.map_err(|error| WorkplaceError::path("write", folder, error))?,
        purpose: Purpose::Serve,
    };
    let ran = timeout(TIMEOUT, gather(shell, script, ANSWER_BYTES)).await;
    let (end, output) = ran.unwrap_or_else(|_| Err(slow()))?;
    match end {
        ScriptEnd::Exited(0) => {}
        ScriptEnd::Exited(MISSING) => return Ok(None),
        end => return Err(failed("write", folder, Some(end), &output.complaint())),
    }
    let hashes = String::from_utf8_lossy(&output.stdout);
    let hash = |line: &str| {
        let (hash, path) = line.split_once("  ./")?;
        Some((path.to_owned(), hash.to_owned()))
    };
    Ok(Some(hashes.lines().filter_map(hash).collect()))
}

/// Whether a path can go in a batch: no newline, which the answer's lines end with, and no
/// backslash, which hashes escape.
#[must_use]
pub fn fits(path: &str, size_bytes: u64) -> bool {
    size_bytes <= FILE_BYTES && path.len() < 4000 && !path.contains(['\n', '\\', '\r', '\0'])
}

fn pack(files: &[SmallFile], list: &str) -> io::Result<Bytes> {
    let mut archive = Builder::new(Vec::new());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.map_or(0, |since| since.as_secs());
    let mut add = |path: &str, mode: u32, content: &[u8]| {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_size(content.len() as u64);
        header.set_mode(mode & 0o7777);
        header.set_mtime(now);
        archive.append_data(&mut header, path, content)
    };
    let mut names = Vec::new();
    for file in files {
        add(&file.path, file.mode, &file.content)?;
        names.extend_from_slice(b"./");
        names.extend_from_slice(file.path.as_bytes());
        names.push(0);
    }
    add(list, 0o600, &names)?;
    Ok(archive.into_inner()?.into())
}

fn slow() -> WorkplaceError {
    let said = format!("a batch of files takes longer than {} s", TIMEOUT.as_secs());
    WorkplaceError::unreachable("shell", Stage::Script, said)
}

fn failed(
    operation: &'static str,
    folder: &str,
    end: Option<ScriptEnd>,
    complaint: &str,
) -> WorkplaceError {
    let full = ["No space left on device", "Disk quota exceeded"];
    let source = match end {
        _ if complaint.contains(full[0]) => io::ErrorKind::StorageFull.into(),
        _ if complaint.contains(full[1]) => io::ErrorKind::QuotaExceeded.into(),
        Some(ScriptEnd::Killed) => {
            return WorkplaceError::unreachable("shell", Stage::Script, "the script was cut short");
        }
        _ => io::Error::other(complaint.to_owned()),
    };
    WorkplaceError::path(operation, folder, source)
}

/// An archive on its way.
struct Reading<'r> {
    archive: Archive,
    wanted: HashMap<&'r [u8], &'r String>,
    file: Option<(&'r String, u32, BytesMut)>,
    files: Vec<SmallFile>,
    complaint: Gathered,
    malformed: Option<io::Error>,
    /// Bytes of the archive.
    read: u64,
}

impl Reading<'_> {
    fn push(&mut self, bytes: &Bytes) -> io::Result<()> {
        self.read += bytes.len() as u64;
        if self.read > 2 * BYTES + FLOOD_BYTES as u64 {
            return Err(io::Error::other("the machine sends more than was asked for"));
        }
        self.archive.push(bytes);
        while let Some(part) = self.archive.next()? {
            match part {
                Part::File { path, size_bytes, mode } => {
                    let name = path.strip_prefix(b"./").unwrap_or(&path);
                    let wanted = self.wanted.get(name).filter(|_| size_bytes <= FILE_BYTES);
                    self.file = wanted.map(|wanted| (*wanted, mode, BytesMut::new()));
                }
                Part::Data(data) => {
                    if let Some((.., content)) = &mut self.file {
                        content.extend_from_slice(&data);
                    }
                }
                Part::End => {
                    if let Some((path, mode, content)) = self.file.take() {
                        // Once: a name that comes again is nobody's wish.
                        self.wanted.remove(path.as_bytes());
                        let (path, content) = (path.clone(), content.freeze());
                        self.files.push(SmallFile { path, mode, content });
                    }
                }
                Part::Link { .. } | Part::Other => {}
            }
        }
        Ok(())
    }
}

impl OutputSink for Reading<'_> {
    async fn take(&mut self, output: ScriptOutput) -> ControlFlow<()> {
        match output {
            ScriptOutput::Out(bytes) => match self.push(&bytes) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    self.malformed = Some(error);
                    ControlFlow::Break(())
                }
            },
            complaint => self.complaint.push(&complaint),
        }
    }
}
