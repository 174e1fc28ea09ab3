//! The first process inside of a sandbox: it puts the other layers on, starts the command, reaps,
//! tells the runner how it ended, and ends what is left.
//!
//! In a pid namespace it is the init: with it everything ends. Elsewhere it adopts orphans, so that
//! nothing which the command started escapes it. It has no secret, and the command cannot look into
//! it: it is not dumpable.

mod arguments;

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{fs::MetadataExt, process::CommandExt},
    },
    panic::resume_unwind,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use nix::sys::{
    signal::{SigSet, Signal},
    signalfd::{SfdFlags, SignalFd},
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, send, sendmsg},
    process::{
        DumpableBehavior, Pid, PidfdFlags, Resource, Rlimit, WaitOptions, WaitStatus, getpid,
        getrlimit, pidfd_open, set_child_subreaper, set_dumpable_behavior, setrlimit, wait,
    },
    thread::{set_name, set_thread_gid, set_thread_groups, set_thread_uid},
};
use serde::{Deserialize, Serialize};

pub(crate) use self::arguments::Arguments;
use crate::{
    Failure, confinement, kill, raw,
    record::{Ended, Status},
    seccomp,
    spec::{Level, Limits, Spec},
};

/// What a process that the command left has to say, it says within this time.
const LINGER: Duration = Duration::from_millis(200);

/// The first to go when the machine runs out of memory, long before the service: half of the
/// memory is added to what it has. See <https://man7.org/linux/man-pages/man5/proc_pid_oom_score_adj.5.html>.
const OOM_SCORE: &str = "500";

/// What it tells the runner: a packet each. With [`Report::Ready`] comes its own pidfd.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    Ready,
    Started,
    Ended(Status),
}

/// The runner's only packet: everything ends now.
pub(crate) const KILL: &[u8] = b"kill";

/// Until the command has ended. Standard input is the spec, standard output the command's output.
pub(crate) fn main(arguments: impl Iterator<Item = OsString>) -> Result<(), Failure> {
    let arguments = Arguments::decode(arguments).ok_or("these are not the runner's arguments")?;
    // It was started by a number, which would be its name.
    set_name(c"evonic-init")?;
    let channel = raw::take(arguments.channel)?;
    drop(raw::take(arguments.program)?);
    let spec_file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let (spec, stdin_offset) = Spec::read(&spec_file)?;
    for (path, device, inode) in &arguments.compared {
        let found = fs::metadata(path)?;
        if (found.dev(), found.ino()) != (*device, *inode) {
            return Err(format!("{} was replaced while it was mounted", path.display()).into());
        }
    }
    if spec.sandbox.level != Level::Namespaces {
        set_child_subreaper(Some(getpid()))?;
    }
    // A kernel or a container may not allow it; nothing else depends on it.
    let _unchanged = fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    limit(&spec.limits)?;

    let mut children = SigSet::empty();
    children.add(Signal::SIGCHLD);
    children.thread_block()?;
    let ended = SignalFd::with_flags(&children, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    introduce(&channel)?;

    let stdin = Spec::stdin(&spec_file, stdin_offset)?;
    drop(spec_file);
    match start(&spec, &arguments.temporary, stdin) {
        Ok(command) => {
            let _all = EndAll;
            // A runner that is gone by now is noticed next.
            let _gone = tell(&channel, &Report::Started);
            let status = follow(command, &channel, &ended)?;
            tell(&channel, &Report::Ended(status))?;
        }
        Err(why) => tell(&channel, &Report::Ended(Status::clean(Ended::NotStarted(why))))?,
    }
    Ok(())
}

/// Whatever goes wrong here: when init ends, so does the command, also without a namespace.
struct EndAll;

impl Drop for EndAll {
    fn drop(&mut self) {
        let _count = kill::descendants();
    }
}

/// Puts the limits on this process, for all that it will start. No core is ever dumped.
fn limit(limits: &Limits) -> io::Result<()> {
    let all = [
        (Resource::Core, Some(0)),
        (Resource::Nproc, Some(limits.processes)),
        // What is writable and its own: what is only reserved does not count.
        (Resource::Data, Some(limits.memory_bytes)),
        (Resource::Fsize, Some(limits.file_bytes)),
        (Resource::Nofile, Some(limits.open_files)),
        (Resource::Cpu, limits.cpu_seconds),
    ];
    for (resource, limit) in all {
        let Some(limit) = limit else { continue };
        let limit = Some(limit.min(getrlimit(resource).maximum.unwrap_or(u64::MAX)));
        setrlimit(resource, Rlimit { current: limit, maximum: limit })?;
    }
    Ok(())
}

/// Hands the runner a descriptor of this process: a pid of the namespace would mean nothing there.
fn introduce(channel: &OwnedFd) -> io::Result<()> {
    let own = pidfd_open(getpid(), PidfdFlags::empty())?;
    let fds = [own.as_fd()];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&fds));
    let packet = serde_json::to_vec(&Report::Ready)?;
    sendmsg(channel, &[io::IoSlice::new(&packet)], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn tell(channel: &OwnedFd, report: &Report) -> io::Result<()> {
    send(channel, &serde_json::to_vec(report)?, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Starts the command on a thread that is confined before, and ends.
fn start(spec: &Spec, temporary: &Path, stdin: File) -> Result<Pid, String> {
    thread::scope(|scope| {
        let confined = thread::Builder::new().name("evonic-confined".to_owned());
        let started = confined.spawn_scoped(scope, || {
            confine(spec, temporary).map_err(|error| format!("it cannot be confined: {error}"))?;
            spawn(spec, stdin)
        });
        let started = started.map_err(|error| format!("no thread can be started: {error}"))?;
        started.join().unwrap_or_else(|panic| resume_unwind(panic))
    })
}

fn confine(spec: &Spec, temporary: &Path) -> io::Result<()> {
    // What it starts hears every signal.
    SigSet::empty().thread_set_mask()?;
    let sandbox = &spec.sandbox;
    if let Some((user, group)) = sandbox.user {
        set_thread_groups(&[])?;
        set_thread_gid(rustix::process::Gid::from_raw(group))?;
        set_thread_uid(rustix::process::Uid::from_raw(user))?;
    }
    if sandbox.level != Level::None {
        confinement::restrict(sandbox, temporary)?;
    }
    seccomp::restrict(sandbox.level)
}

#[expect(clippy::disallowed_methods, reason = "the command itself; the worker holds its permit")]
fn spawn(spec: &Spec, stdin: File) -> Result<Pid, String> {
    let folder = spec.folder.display();
    match fs::metadata(&spec.folder) {
        Ok(found) if !found.is_dir() => return Err(format!("folder {folder} is no folder")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(format!("folder {folder} does not exist"));
        }
        Ok(_) | Err(_) => {}
    }
    std::env::set_current_dir(&spec.folder).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("folder {folder} cannot be entered: permission denied")
        }
        _ => format!("folder {folder} cannot be entered: {error}"),
    })?;
    let (name, arguments) = spec.argv.split_first().ok_or("there is no program to start")?;
    let program = find(name, &spec.environment)?;
    let output = || io::stdout().as_fd().try_clone_to_owned().map_err(|error| error.to_string());
    let mut command = Command::new(&program);
    command.arg0(name).args(arguments).env_clear().envs(spec.environment.iter().cloned());
    command.stdin(stdin).stdout(output()?).stderr(output()?);
    raw::lead_session(&mut command);
    let child = command.spawn().map_err(|error| format!("{name}: {error}"))?;
    Ok(Pid::from_child(&child))
}

/// The file of a program, as a shell finds it.
fn find(name: &str, environment: &[(String, String)]) -> Result<PathBuf, String> {
    let paths: Vec<PathBuf> = if name.contains('/') {
        vec![name.into()]
    } else {
        let path = environment.iter().find(|(name, _)| name == "PATH");
        let folders = std::env::split_paths(path.map_or("", |(_, value)| value));
        folders.map(|folder| folder.join(name)).collect()
    };
    let mut there = Err(format!("{name}: program not found"));
    for path in paths {
        match fs::metadata(&path) {
            Ok(found) if found.is_dir() => {
                there = there.map_err(|_| format!("{name} is a folder"));
            }
            Ok(_) if rustix::fs::access(&path, rustix::fs::Access::EXEC_OK).is_ok() => {
                return Ok(path);
            }
            Ok(_) => {
                there = there.map_err(|_| format!("{name} may not be executed: permission denied"));
            }
            Err(_) => {}
        }
    }
    there
}

/// Until the command has ended, and all that it started; or the runner ends both.
fn follow(command: Pid, channel: &OwnedFd, ended: &SignalFd) -> io::Result<Status> {
    let mut status = None;
    let mut until = None;
    loop {
        reap(command, &mut status);
        if status.is_some() {
            let until = *until.get_or_insert_with(|| Instant::now() + LINGER);
            if kill::children().is_empty() || Instant::now() >= until {
                break;
            }
        }
        let wait = until.map(|until| until.saturating_duration_since(Instant::now()));
        let wait = wait.map(|wait| Timespec::try_from(wait).unwrap_or_default());
        let mut fds = [PollFd::new(ended, PollFlags::IN), PollFd::new(channel, PollFlags::IN)];
        match poll(&mut fds, wait.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let asked = !fds[1].revents().is_empty();
        while ended.read_signal()?.is_some() {}
        if asked {
            // It is the one packet there is, or the runner is gone.
            break;
        }
    }
    let left_behind = kill::descendants();
    let ended = status.unwrap_or(Ended::Cancelled);
    Ok(Status { ended, left_behind })
}

/// Reaps what has ended, the command among it.
fn reap(command: Pid, status: &mut Option<Ended>) {
    while let Ok(Some((pid, how))) = wait(WaitOptions::NOHANG) {
        if pid == command {
            *status = Some(ended(how));
        }
    }
}

fn ended(how: WaitStatus) -> Ended {
    match (how.exit_status(), how.terminating_signal()) {
        (Some(code), _) => Ended::Exited(code),
        (None, Some(signal)) => Ended::Signalled(signal),
        (None, None) => Ended::RunnerKilled,
    }
}
