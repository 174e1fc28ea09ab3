//! The process of a script: started, confined, limited, signalled, reaped.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Seek, Write},
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::{fs::DirBuilderExt, process::CommandExt},
    },
    panic::resume_unwind,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use bytes::Bytes;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{MemfdFlags, memfd_create},
    process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal},
};

use super::{confinement::Confinement, groups::Groups, limits::Limits, mask};

/// How long one that is dropped alive is given to die.
const DYING: Duration = Duration::from_millis(100);

/// What a script is started with.
pub(super) struct Start {
    pub(super) text: String,
    pub(super) arguments: Vec<String>,
    /// What it reads. A launch reads a line before that: it waits for its limits.
    pub(super) input: Bytes,
    /// Its whole environment.
    pub(super) environment: Vec<(OsString, OsString)>,
    /// What more there is when it launches a command.
    pub(super) launch: Option<Launch>,
}

/// What is put on a script that launches a command, and by it on the command.
pub(super) struct Launch {
    pub(super) groups: Option<Groups>,
    /// The command's command id.
    pub(super) command_id: String,
    pub(super) confinement: Option<Arc<Confinement>>,
    pub(super) limits: Limits,
    /// The workplace's folder.
    pub(super) root: PathBuf,
    /// The folder of the command's spool, made here.
    pub(super) own: PathBuf,
    /// The folder of its temporary files, made here, in `own`.
    pub(super) temporary: PathBuf,
}

/// This process's ends of a script's pipes.
pub(super) struct Pipes {
    /// Of standard input, with what is to be written; [`None`] when that is there already.
    pub(super) input: Option<(OwnedFd, Bytes)>,
    pub(super) output: OwnedFd,
    pub(super) errors: OwnedFd,
}

/// The process of a script, leader of its own process group. Killed with its group when dropped
/// before it was reaped.
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
    /// Starts it. Holds six descriptors while it runs (both ends of three pipes), and its pidfd and
    /// its ends of two or three pipes when it returns.
    ///
    /// It hears every signal, and SIGPIPE ends it; every other descriptor is close-on-exec.
    #[expect(clippy::disallowed_methods, reason = "the gateway for children; the caller's permit")]
    pub(super) fn start(start: Start) -> io::Result<(Self, Pipes)> {
        let Start { text, arguments, input, environment, launch } = start;
        let input = match &launch {
            Some(_) => Some([&b"\n"[..], &input].concat().into()),
            None if input.is_empty() => None,
            None => Some(input),
        };
        // A launch waits for a line that comes when its limits hold: only a pipe can keep it back.
        let (stdin, fed) = match (&launch, input) {
            (Some(_), fed) => (Stdio::piped(), fed),
            (None, Some(input)) => (anonymous(&input)?, None),
            (None, None) => (Stdio::null(), None),
        };
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(text).arg("evonic").args(arguments);
        command.env_clear().envs(environment).current_dir("/").process_group(0);
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        mask::clear(&mut command);

        let mut child = match &launch {
            Some(launch) => launch.spawn(command)?,
            None => command.spawn()?,
        };
        let pipes = pipes(&mut child, fed);
        let pid = Pid::from_child(&child);
        let pidfd = pidfd_open(pid, PidfdFlags::NONBLOCK).map_err(io::Error::from);
        let limited = launch.map_or(Ok(()), |launch| launch.limit(pid));
        match (pidfd, limited) {
            (Ok(pidfd), Ok(())) => Ok((Self { child, pid, pidfd, reaped: false }, pipes)),
            (Err(error), _) | (_, Err(error)) => {
                let _gone = kill_process_group(pid, Signal::KILL);
                child.wait()?;
                Err(error)
            }
        }
    }

    /// Sends SIGKILL to the whole process group, unless it was reaped.
    pub(super) fn kill_group(&self) {
        if !self.reaped {
            // The group may be empty but for the leader, or the leader may have left it.
            let _empty = kill_process_group(self.pid, Signal::KILL);
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

impl Launch {
    /// Limits the process, which waits, and what it will start.
    fn limit(&self, pid: Pid) -> io::Result<()> {
        if let Some(groups) = &self.groups
            && let Err(error) = groups.enter(&self.command_id, pid)
        {
            // It is found by its watcher, as on a machine without groups.
            tracing::warn!(command_id = self.command_id, %error, "a command has no control group of its own");
        }
        self.limits.put_on(pid)
    }

    /// Starts a command that makes nothing but what its folders and its confinement allow. A
    /// confinement is put on a thread and inherited by what that one starts: so there is a thread
    /// for each, which ends at once.
    fn spawn(&self, mut command: Command) -> io::Result<Child> {
        let mut folder = fs::DirBuilder::new();
        folder.recursive(true).mode(0o700).create(&self.temporary)?;
        let Some(confinement) = &self.confinement else { return command.spawn() };
        thread::scope(|scope| {
            let confined = thread::Builder::new().name("evonic-confined".to_owned());
            let started = confined.spawn_scoped(scope, || {
                confinement.restrict(&self.root, &self.own)?;
                command.spawn()
            })?;
            started.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
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
        if !self.reaped {
            self.kill_group();
            let timeout = Timespec::try_from(DYING).expect("100 ms fit");
            let _ended = poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], Some(&timeout));
            let _status = self.reap();
        }
    }
}

fn pipes(child: &mut Child, fed: Option<Bytes>) -> Pipes {
    let input = child.stdin.take().map(OwnedFd::from).zip(fed);
    let output = child.stdout.take().expect("it is a pipe").into();
    let errors = child.stderr.take().expect("it is a pipe").into();
    Pipes { input, output, errors }
}

/// What a script of ours reads is an anonymous file: nothing to feed, and nobody to wait for.
fn anonymous(content: &[u8]) -> io::Result<Stdio> {
    let mut file = File::from(memfd_create("stdin", MemfdFlags::CLOEXEC)?);
    file.write_all(content)?;
    file.rewind()?;
    Ok(Stdio::from(file))
}
