//! The first process of a command: started, signalled, reaped.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, PipeReader, Seek, Write, pipe},
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Access, AtFlags, CWD, MemfdFlags, accessat, memfd_create},
    process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal},
};

/// How long one that is dropped alive is given to die.
const DYING: Duration = Duration::from_millis(100);

/// What a command is started with.
pub(super) struct Start {
    pub(super) argv: Vec<String>,
    pub(super) stdin: Vec<u8>,
    /// Its folder: an absolute path.
    pub(super) folder: PathBuf,
    /// Its whole environment.
    pub(super) environment: Vec<(OsString, OsString)>,
}

/// The first process of a command, leader of its own process group. Killed with its group when
/// dropped before it was reaped.
///
/// Until it is reaped its number, and so the group's, cannot be another process's: only then is a
/// signal sent to the group.
#[derive(Debug)]
pub(super) struct Leader {
    child: Child,
    pid: Pid,
    pidfd: OwnedFd,
    reaped: bool,
}

impl Leader {
    /// Starts it. Returns also the end of the one pipe that its standard output and its standard
    /// error are: one pipe, so that their order is kept.
    ///
    /// Holds four descriptors while it runs (the pipe, its writing end twice, standard input), and
    /// two when it returns.
    ///
    /// Standard input is an anonymous file: there is nothing to feed it and nobody to wait for.
    /// The standard library gives the child an empty signal mask and SIGPIPE's default, and every
    /// other descriptor is close-on-exec.
    #[expect(clippy::disallowed_methods, reason = "the gate for children; the caller's permit")]
    pub(super) fn start(start: Start) -> io::Result<(Self, PipeReader)> {
        let (name, arguments) = start
            .argv
            .split_first()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no program is named"))?;
        let program = find(name, &start.environment)?;
        let (output, writer) = pipe()?;
        let stdin = if start.stdin.is_empty() { Stdio::null() } else { anonymous(&start.stdin)? };

        let mut command = Command::new(program);
        command
            .arg0(name)
            .args(arguments)
            .env_clear()
            .envs(start.environment)
            .current_dir(start.folder)
            .process_group(0)
            .stdin(stdin)
            .stdout(writer.try_clone()?)
            .stderr(writer);
        let mut child = command.spawn()?;
        // Closes this side's copies: from now on the pipe ends with the command.
        drop(command);
        let pid = Pid::from_child(&child);
        match pidfd_open(pid, PidfdFlags::NONBLOCK) {
            Ok(pidfd) => Ok((Self { child, pid, pidfd, reaped: false }, output)),
            Err(error) => {
                let _gone = kill_process_group(pid, Signal::KILL);
                child.wait()?;
                Err(error.into())
            }
        }
    }

    /// Its process group, until it is reaped.
    pub(super) const fn group(&self) -> Option<Pid> {
        if self.reaped { None } else { Some(self.pid) }
    }

    /// Sends SIGKILL to the whole process group.
    pub(super) fn kill_group(&self) {
        if let Some(group) = self.group() {
            // The group may be empty but for the leader, or the leader may have left it.
            let _empty = kill_process_group(group, Signal::KILL);
            let _ended = pidfd_send_signal(&self.pidfd, Signal::KILL);
        }
    }

    /// Takes its exit status; [`None`] while it lives.
    pub(super) fn reap(&mut self) -> io::Result<Option<ExitStatus>> {
        let status = self.child.try_wait()?;
        self.reaped = status.is_some();
        Ok(status)
    }
}

impl AsRawFd for Leader {
    /// The pidfd: readable once the process ended.
    fn as_raw_fd(&self) -> RawFd {
        self.pidfd.as_raw_fd()
    }
}

impl Drop for Leader {
    /// A call that goes its way has reaped it. This is for the one whose runtime is torn down, or
    /// has no room for its pidfd: it blocks for as long as dying of SIGKILL takes.
    fn drop(&mut self) {
        if self.group().is_some() {
            self.kill_group();
            let timeout = Timespec::try_from(DYING).expect("100 ms fit");
            let _ended = poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], Some(&timeout));
            let _status = self.reap();
        }
    }
}

/// The program's path, by the command's own `PATH`. An absolute path lets the standard library
/// start it without copying this process's page tables.
fn find(name: &str, environment: &[(OsString, OsString)]) -> io::Result<PathBuf> {
    if name.contains('/') {
        return Ok(PathBuf::from(name));
    }
    let search = environment.iter().find(|(key, _)| key == "PATH").map(|(_, value)| value);
    let runnable = |path: &PathBuf| {
        path.is_file() && accessat(CWD, path, Access::EXEC_OK, AtFlags::empty()).is_ok()
    };
    std::env::split_paths(search.map_or(OsStr::new(""), OsString::as_os_str))
        .filter(|folder| folder.is_absolute())
        .map(|folder: PathBuf| folder.join(Path::new(name)))
        .find(runnable)
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "it is not installed"))
}

fn anonymous(content: &[u8]) -> io::Result<Stdio> {
    let mut file = File::from(memfd_create("stdin", MemfdFlags::CLOEXEC)?);
    file.write_all(content)?;
    file.rewind()?;
    Ok(Stdio::from(file))
}
