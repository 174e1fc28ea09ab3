//! How many descriptors a process has open, cheaply and without a right over it.
//!
//! Since Linux 6.2 `st_size` of `/proc/PID/fd` is the count. An `O_PATH` handle of that folder is
//! opened once for each worker: it needs no ptrace right, and it never turns into another
//! process's when the pid is used again. Older kernels say 0; there the folder is read.

use std::{io, os::fd::OwnedFd, path::PathBuf};

use rustix::{
    fs::{Mode, OFlags, RawDir},
    process::Pid,
};

use crate::disk::FileError;

/// How this kernel counts descriptors. Probed once, on the own process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `fstat` on a held handle: half a microsecond.
    Size,
    /// Reading the folder: microseconds for each descriptor.
    Listing,
}

impl Method {
    /// The method of this kernel. The own process has at least the handle itself open, so a size of
    /// 0 means that the kernel does not count.
    ///
    /// # Errors
    /// [`FileError`] when `/proc` is not there.
    pub fn probe() -> Result<Self, FileError> {
        let handle = open_folder("open", rustix::process::getpid(), OFlags::PATH)?;
        let counts = folder_size(&handle).is_ok_and(|size| size > 0);
        Ok(if counts { Self::Size } else { Self::Listing })
    }
}

/// A held handle of one process's `/proc/PID/fd`: one descriptor.
#[derive(Debug)]
pub struct FdWatch {
    folder: OwnedFd,
    method: Method,
}

impl FdWatch {
    /// The process must be an unreaped child, so that the pid is its own.
    ///
    /// # Errors
    /// [`FileError`].
    pub fn open(pid: Pid, method: Method) -> Result<Self, FileError> {
        let access = match method {
            Method::Size => OFlags::PATH,
            Method::Listing => OFlags::RDONLY,
        };
        Ok(Self { folder: open_folder("open", pid, access)?, method })
    }

    /// Open descriptors now; [`None`] when the process is gone or a zombie, which has none.
    pub fn count(&self) -> Option<u32> {
        let counted = match self.method {
            Method::Size => folder_size(&self.folder),
            Method::Listing => list(&self.folder, |_| ()),
        };
        counted.ok().filter(|&count| count > 0)
    }
}

/// Opens `/proc/PID/fd`; the error names the action.
pub(crate) fn open_folder(
    action: &'static str,
    pid: Pid,
    access: OFlags,
) -> Result<OwnedFd, FileError> {
    let flags = access | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let path = folder(pid);
    rustix::fs::open(&path, flags, Mode::empty()).map_err(FileError::new(action, &path))
}

pub(crate) fn folder(pid: Pid) -> PathBuf {
    format!("/proc/{}/fd", pid.as_raw_nonzero()).into()
}

fn folder_size(folder: &OwnedFd) -> io::Result<u32> {
    let size = rustix::fs::fstat(folder)?.st_size;
    Ok(u32::try_from(size).unwrap_or(u32::MAX))
}

/// Visits the name of each descriptor in an open `/proc/PID/fd`, from its beginning, and counts.
pub(crate) fn list(folder: &OwnedFd, mut visit: impl FnMut(&std::ffi::CStr)) -> io::Result<u32> {
    rustix::fs::seek(folder, rustix::fs::SeekFrom::Start(0))?;
    let mut buffer = [std::mem::MaybeUninit::uninit(); 2048];
    let mut entries = RawDir::new(folder, &mut buffer);
    let mut count = 0_u32;
    while let Some(entry) = entries.next() {
        let entry = entry?;
        if entry.file_name().to_bytes().first().is_some_and(u8::is_ascii_digit) {
            visit(entry.file_name());
            count = count.saturating_add(1);
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};

    use super::*;

    /// A child whose descriptors only the test changes: the test's own process has other threads.
    #[test]
    #[expect(clippy::disallowed_methods, reason = "a real process to count")]
    fn both_methods_count_a_real_process() {
        let script = "exec 3</dev/null 4</dev/null 5</dev/null; echo up; read line; \
                      exec 5<&-; echo less; read line";
        let mut child = std::process::Command::new("/bin/sh")
            .args(["-c", script])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let pid = Pid::from_child(&child);
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut input = child.stdin.take().unwrap();
        let mut next_line = || {
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            line
        };
        let methods = [Method::probe().unwrap(), Method::Listing];
        let watches = methods.map(|method| FdWatch::open(pid, method).unwrap());
        assert_eq!(next_line(), "up\n");
        let before = watches.each_ref().map(|watch| watch.count().unwrap());
        assert_eq!(before[0], before[1]);
        input.write_all(b"\n").unwrap();
        assert_eq!(next_line(), "less\n");
        let after = watches.each_ref().map(|watch| watch.count().unwrap());
        assert_eq!(after, before.map(|count| count - 1));
        input.write_all(b"\n").unwrap();
        child.wait().unwrap();
        for watch in &watches {
            assert_eq!(watch.count(), None);
        }
    }
}
