//! What runs inside: `bwrap` and init, or init alone.

use std::{
    ffi::OsString,
    fs::File,
    io,
    mem::MaybeUninit,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::fs::{MetadataExt, fchown},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, fcntl_getfl, fcntl_setfl, openat2},
    io::{FdFlags, fcntl_setfd},
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags,
        SocketFlags, SocketType, recvmsg, send, socketpair,
    },
    pipe::{PipeFlags, pipe_with},
    process::{Pid, PidfdFlags, Signal, geteuid, pidfd_open, pidfd_send_signal},
};

use crate::{
    bubblewrap::Mounts,
    init::{self, Report},
    kill,
    spec::{Level, Spec},
};

/// The most bytes of a report: of a status, which has why something was not started.
const REPORT_BYTES: usize = 64 << 10;

/// A sandbox and its processes.
pub(super) struct Sandboxed {
    child: Child,
    child_fd: OwnedFd,
    /// Of init, once it said so; readable when all of its namespace is gone.
    init: Option<OwnedFd>,
    channel: OwnedFd,
    errors: OwnedFd,
    level: Level,
}

impl Sandboxed {
    /// Starts it, and returns the reading end of the command's output.
    pub(super) fn start(spec: &Spec, file: &File) -> io::Result<(Self, OwnedFd)> {
        let (channel, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )?;
        fcntl_setfl(&theirs, fcntl_getfl(&theirs)? & !OFlags::NONBLOCK)?;
        let (output, output_end) = pipe_with(PipeFlags::CLOEXEC)?;
        let (errors, errors_end) = pipe_with(PipeFlags::CLOEXEC)?;
        for end in [&output, &errors] {
            fcntl_setfl(end, fcntl_getfl(end)? | OFlags::NONBLOCK)?;
        }
        if let Some((user, group)) = spec.sandbox.user {
            // So that the command can open its /dev/stderr.
            fchown(&output_end, Some(user), Some(group))?;
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "held for one start, by a program of its own"
        )]
        let program = File::open("/proc/self/exe")?;
        for inherited in [theirs.as_fd(), program.as_fd()] {
            fcntl_setfd(inherited, FdFlags::empty())?;
        }
        let mut command = command(spec, theirs.as_raw_fd(), program.as_raw_fd())?;
        command.env_clear().current_dir("/");
        command.stdin(Stdio::from(file.try_clone()?));
        command.stdout(Stdio::from(output_end)).stderr(Stdio::from(errors_end));
        let child = command.spawn()?;
        // The writing ends of this process go with it.
        drop((command, theirs, program));
        let child_fd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
        let level = spec.sandbox.level;
        Ok((Self { child, child_fd, init: None, channel, errors, level }, output))
    }

    /// Readable once everything inside is gone.
    pub(super) fn gone(&self) -> BorrowedFd<'_> {
        self.init.as_ref().unwrap_or(&self.child_fd).as_fd()
    }

    /// Whether init began; before that nothing of the command has. At levels without `bwrap` it is
    /// not made.
    pub(super) fn was_made(&self) -> bool {
        self.init.is_some() || self.level != Level::Namespaces
    }

    pub(super) const fn channel(&self) -> &OwnedFd {
        &self.channel
    }

    /// The next report; [`None`] when there is none, or nobody is left to make one.
    pub(super) fn receive(&mut self) -> io::Result<Option<Report>> {
        let mut packet = vec![0; REPORT_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(
            &self.channel,
            &mut [io::IoSliceMut::new(&mut packet)],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        );
        let length = match received {
            Ok(received) => received.bytes,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::CONNRESET) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                self.init = self.init.take().or(fds.last());
            }
        }
        Ok(serde_json::from_slice(&packet[..length]).ok())
    }

    /// Asks init to end everything; returns how long it is given for that.
    pub(super) fn ask_to_end(&self, time: Duration) -> Duration {
        let asked = self.init.is_some()
            && send(&self.channel, init::KILL, SendFlags::NOSIGNAL | SendFlags::DONTWAIT).is_ok();
        if asked { time } else { Duration::ZERO }
    }

    /// Kills init, and with it its namespace; and what made it.
    pub(super) fn kill(&self) {
        for process in self.init.iter().chain([&self.child_fd]) {
            let _gone = pidfd_send_signal(process, Signal::KILL);
        }
    }

    /// Takes the exit status of what was started, and ends what was not kept in a namespace; returns
    /// how much that was.
    pub(super) fn reap(&mut self) -> io::Result<u32> {
        self.child.wait()?;
        let killed = kill::descendants();
        // What was being made is no process of the command.
        Ok(if self.level == Level::Namespaces { 0 } else { killed })
    }

    /// What `bwrap` and init complained about.
    pub(super) fn errors(&self, limit: u64) -> String {
        let mut bytes = vec![0; usize::try_from(limit).unwrap_or(0)];
        let length = rustix::io::read(&self.errors, &mut bytes).unwrap_or(0);
        bytes.truncate(length);
        let text = String::from_utf8_lossy(&bytes);
        let text = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let text: Vec<&str> = text.collect();
        if text.is_empty() { "nothing says why".to_owned() } else { text.join("; ") }
    }
}

/// The command that makes the sandbox and starts init there.
#[expect(clippy::disallowed_methods, reason = "the worker holds the command's permit")]
fn command(spec: &Spec, channel: i32, program: i32) -> io::Result<Command> {
    let itself = PathBuf::from(format!("/proc/self/fd/{program}"));
    let sandbox = &spec.sandbox;
    let temporary = crate::temporary(sandbox, &spec.record);
    if sandbox.level != Level::Namespaces {
        let arguments = init::Arguments { channel, program, temporary, compared: Vec::new() };
        let mut command = Command::new(itself);
        command.args(arguments.encode());
        return Ok(command);
    }
    let bwrap = sandbox.bwrap.as_ref().ok_or_else(|| io::Error::other("there is no bwrap"))?;
    let mounts = Mounts::new(sandbox, &temporary);
    let compared = mounts.compared.iter().map(|path| identify(path));
    let compared = compared.collect::<io::Result<_>>()?;
    let inside = PathBuf::from("/tmp");
    let arguments = init::Arguments { channel, program, temporary: inside, compared };
    let mut command = Command::new(bwrap);
    let mut all: Vec<OsString> = mounts.arguments(sandbox, geteuid().is_root());
    all.push(itself.into());
    all.extend(arguments.encode());
    command.args(all);
    Ok(command)
}

/// A folder or file by its device and inode, reached without any link.
fn identify(path: &Path) -> io::Result<(PathBuf, u64, u64)> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let opened = openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)?;
    let found = File::from(opened).metadata()?;
    Ok((path.to_owned(), found.dev(), found.ino()))
}
