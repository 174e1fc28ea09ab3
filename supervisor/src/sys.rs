//! The only module with unsafe code: fork and exec, and calls that no safe crate offers. Its API has
//! owned or borrowed descriptors, never bare numbers.
#![allow(unsafe_code, reason = "fork, exec, and system calls that neither rustix nor nix wraps")]

mod scheduling;
mod signals;
mod smaps;

use std::{
    ffi::{CStr, CString},
    fs::OpenOptions,
    io::{self, BufRead, BufReader, Read},
    mem::{MaybeUninit, size_of},
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr,
    sync::atomic::{AtomicBool, Ordering},
};

use evonic_shared::hand_over::FIRST_DESCRIPTOR;
use nix::libc::{self, c_char, c_int};
use rustix::{
    io::{Errno, fcntl_dupfd_cloexec},
    path::DecInt,
    process::{
        Pid, Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit,
    },
};

pub use self::{
    scheduling::{Scheduling, SchedulingPart},
    signals::messages,
};

/// The kernel refuses what the supervisor needs.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}")]
pub struct KernelError {
    /// `block signals`.
    action: &'static str,
    #[source]
    source: io::Error,
}

impl KernelError {
    pub fn new<E: Into<io::Error>>(action: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self { action, source: source.into() }
    }
}

/// Descriptors that a child can inherit.
pub const MAX_DESCRIPTORS: usize = 8;

/// What a child runs and inherits. Prepared before the fork: between fork and exec the child only
/// makes system calls.
#[derive(Debug)]
pub struct Plan<'a> {
    /// Absolute path, or one relative to the working folder; not searched for in `PATH`.
    pub program: &'a CStr,
    /// With the program's name first.
    pub arguments: &'a [CString],
    /// `NAME=value`. `LISTEN_PID` must not be among them: it is added here, once it is known.
    pub environment: &'a [CString],
    /// Becomes standard input. Output and error are inherited.
    pub input: BorrowedFd<'a>,
    /// Numbered from [`FIRST_DESCRIPTOR`], in this order; at most [`MAX_DESCRIPTORS`].
    pub descriptors: &'a [BorrowedFd<'a>],
    /// The child's soft `RLIMIT_NOFILE`.
    pub nofile: u64,
    pub on_parent_death: ParentDeath,
}

/// What happens to a child whose parent dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParentDeath {
    /// It is sent SIGTERM.
    Terminate,
    /// systemd ends the whole control group.
    Nothing,
}

#[derive(Debug, thiserror::Error)]
pub enum ForkExecError {
    #[error("no pipe for the child's report")]
    Pipe(#[source] io::Error),
    #[error("cannot fork")]
    Fork(#[source] io::Error),
    /// It ran without a pidfd, so it was killed.
    #[error("cannot open a pidfd")]
    Pidfd(#[source] io::Error),
    #[error("cannot {step}")]
    Child {
        step: Step,
        #[source]
        source: io::Error,
    },
}

/// A step of the child between fork and exec, as it reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Step {
    /// `setpgid(2)`.
    Group = 1,
    /// `prctl(PR_SET_PDEATHSIG)`, or the parent died first.
    ParentDeath,
    /// `setrlimit(2)`.
    Limit,
    /// `dup2(2)` and `fcntl(2)`.
    Descriptors,
    /// `sigprocmask(2)`.
    Signals,
    /// `execve(2)`.
    Execute,
}

impl Step {
    const ALL: [(Self, &str); 6] = [
        (Self::Group, "make a process group"),
        (Self::ParentDeath, "ask for a signal at the parent's death"),
        (Self::Limit, "set the limit of descriptors"),
        (Self::Descriptors, "hand over descriptors"),
        (Self::Signals, "unblock signals"),
        (Self::Execute, "execute the program"),
    ];

    fn from_report(byte: u8) -> Self {
        let known = Self::ALL.iter().find(|(step, _)| *step as u8 == byte);
        known.map_or(Self::Execute, |(step, _)| *step)
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = Self::ALL.iter().find(|(step, _)| step == self).map_or("", |(_, text)| text);
        f.write_str(text)
    }
}

/// With space for the largest pid and the final NUL; the child writes the digits.
const LISTEN_PID: &[u8] = b"LISTEN_PID=";
const LISTEN_PID_BYTES: usize = LISTEN_PID.len() + 11;

/// The kernel's `struct sigaction` is four words at most; all zeroes is the default action.
const SIGACTION_WORDS: usize = 4;

/// The highest signal number of Linux.
const LAST_SIGNAL: c_int = 64;

/// Length of a child's report: the step, then `errno`.
const REPORT_BYTES: usize = 1 + size_of::<c_int>();

/// Forks and executes. Returns once the program runs, or could not be run; the child then is
/// reaped. Must be called from the main thread when [`ParentDeath::Terminate`] is asked for: the
/// kernel ties that to the calling thread.
///
/// # Errors
/// [`ForkExecError`]: the step, and the OS error.
///
/// # Panics
/// If more than [`MAX_DESCRIPTORS`] are named.
pub fn fork_exec(plan: &Plan<'_>) -> Result<Pid, ForkExecError> {
    assert!(plan.descriptors.len() <= MAX_DESCRIPTORS, "the caller names a fixed set");
    let mut buffer = [0_u8; LISTEN_PID_BYTES];
    buffer[..LISTEN_PID.len()].copy_from_slice(LISTEN_PID);
    // The only pointer to the buffer from here on: the environment's, and the digits' below.
    let listen_pid = buffer.as_mut_ptr();
    let arguments: Vec<*const c_char> =
        plan.arguments.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect();
    let environment: Vec<*const c_char> = plan
        .environment
        .iter()
        .map(|text| text.as_ptr())
        .chain([listen_pid.cast_const().cast(), ptr::null()])
        .collect();
    let (reader, mut writer) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(|errno| ForkExecError::Pipe(errno.into()))?;
    let parent = rustix::process::getpid();

    // SAFETY: the child branch makes only async-signal-safe calls on memory laid out above.
    let pid = match unsafe { libc::fork() } {
        -1 => return Err(ForkExecError::Fork(io::Error::last_os_error())),
        0 => {
            // SAFETY: this is the child of a fork, and every pointer handed on outlives it. It ends
            // here, without the destructors of what the parent owns.
            unsafe {
                let digits = listen_pid.add(LISTEN_PID.len());
                let (step, errno) =
                    run_child(plan, &arguments, &environment, digits, &mut writer, parent);
                let [a, b, c, d] = errno.raw_os_error().to_ne_bytes();
                let _ = rustix::io::write(&writer, &[step as u8, a, b, c, d]);
                libc::_exit(127)
            }
        }
        pid => Pid::from_raw(pid).expect("fork gives the parent a positive pid"),
    };
    drop(writer);

    let mut report = Vec::with_capacity(REPORT_BYTES);
    // End of file is success: the pipe closes on exec.
    let read = std::fs::File::from(reader).take(REPORT_BYTES as u64).read_to_end(&mut report);
    let [step, errno @ ..] = report.as_slice() else {
        return match read {
            Ok(_) => Ok(pid),
            Err(source) => Err(ForkExecError::Pipe(source)),
        };
    };
    let errno = errno.try_into().map_or(libc::EIO, c_int::from_ne_bytes);
    // The child exits right after its report, so this does not block.
    let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
    Err(ForkExecError::Child {
        step: Step::from_report(*step),
        source: io::Error::from_raw_os_error(errno),
    })
}

/// The child's side of [`fork_exec`]: returns the step that failed.
///
/// # Safety
/// Only in the child of a fork. `digits` points to 11 writable bytes inside an entry of
/// `environment`; both pointer lists end with null and point to NUL-terminated strings.
unsafe fn run_child(
    plan: &Plan<'_>,
    arguments: &[*const c_char],
    environment: &[*const c_char],
    digits: *mut u8,
    report: &mut OwnedFd,
    parent: Pid,
) -> (Step, Errno) {
    let mut prepare = || {
        let at = |step| move |errno| (step, errno);
        rustix::process::setpgid(None, None).map_err(at(Step::Group))?;
        if plan.on_parent_death == ParentDeath::Terminate {
            set_parent_process_death_signal(Some(Signal::TERM)).map_err(at(Step::ParentDeath))?;
            if rustix::process::getppid() != Some(parent) {
                return Err((Step::ParentDeath, Errno::SRCH));
            }
        }
        let limit = Rlimit { current: Some(plan.nofile), ..getrlimit(Resource::Nofile) };
        setrlimit(Resource::Nofile, limit).map_err(at(Step::Limit))?;
        // SAFETY: as this function's.
        unsafe { place_descriptors(plan, report) }.map_err(at(Step::Descriptors))?;
        // Rust ignores SIGPIPE, and the parent may have ignored others. The bare call, because the
        // C library reserves two of the real-time signals.
        let default = [0_u64; SIGACTION_WORDS];
        let no_old = ptr::null_mut::<u64>();
        for signal in 1..=LAST_SIGNAL {
            // SAFETY: `default` is a whole `struct sigaction`, and the old action is not asked for.
            unsafe {
                libc::syscall(
                    libc::SYS_rt_sigaction,
                    signal,
                    default.as_ptr(),
                    no_old,
                    size_of::<u64>(),
                )
            };
        }
        signals::of_child()
            .thread_set_mask()
            .map_err(|errno| (Step::Signals, Errno::from_raw_os_error(errno as i32)))
    };
    if let Err(failed) = prepare() {
        return failed;
    }
    let pid = DecInt::new(rustix::process::getpid().as_raw_nonzero().get());
    let pid = pid.as_bytes_with_nul();
    // SAFETY: as this function's; a pid has 10 digits at most.
    unsafe {
        ptr::copy_nonoverlapping(pid.as_ptr(), digits, pid.len());
        libc::execve(plan.program.as_ptr(), arguments.as_ptr(), environment.as_ptr());
    }
    (Step::Execute, Errno::from_raw_os_error(nix::errno::Errno::last_raw()))
}

/// Numbers the plan's descriptors as the worker expects them; everything else closes on exec.
///
/// # Safety
/// Only in the child of a fork: it overwrites descriptors 0 and from [`FIRST_DESCRIPTOR`] on.
unsafe fn place_descriptors(plan: &Plan<'_>, report: &mut OwnedFd) -> Result<(), Errno> {
    let above = FIRST_DESCRIPTOR + plan.descriptors.len() as c_int;
    // Moved above the target numbers first, so that none overwrites a later source.
    let mut moved = [const { None }; MAX_DESCRIPTORS];
    for (slot, descriptor) in moved.iter_mut().zip(plan.descriptors) {
        *slot = Some(fcntl_dupfd_cloexec(descriptor, above)?);
    }
    let input = fcntl_dupfd_cloexec(plan.input, above)?;
    *report = fcntl_dupfd_cloexec(&*report, above)?;
    rustix::stdio::dup2_stdin(input)?;
    for (number, source) in (FIRST_DESCRIPTOR..).zip(moved.iter().flatten()) {
        // SAFETY: as this function's: nothing in the child owns the number.
        if unsafe { libc::dup2(source.as_raw_fd(), number) } < 0 {
            return Err(Errno::from_raw_os_error(nix::errno::Errno::last_raw()));
        }
    }
    // All descriptors opened here are close-on-exec; this covers those that were inherited.
    // Kernels before 5.11 do not know the flag.
    let (first, last) = (above as libc::c_uint, libc::c_uint::MAX);
    // SAFETY: it closes nothing before exec.
    unsafe { libc::syscall(libc::SYS_close_range, first, last, libc::CLOSE_RANGE_CLOEXEC) };
    Ok(())
}

/// The length of a TCP listener's accept queue: `tcpi_unacked` of `TCP_INFO` (`tcp(7)`), which is
/// the backlog of a listening socket.
///
/// # Errors
/// The OS error; a Unix socket has no `TCP_INFO`.
pub fn accept_queue(listener: BorrowedFd<'_>) -> io::Result<u32> {
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: `info` has `length` writable bytes; all zeroes is a valid `tcp_info`, so a shorter
    // answer of an older kernel leaves it valid.
    let info = unsafe {
        let result = libc::getsockopt(
            listener.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        );
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        info.assume_init()
    };
    Ok(info.tcpi_unacked)
}

/// `IOPRIO_WHO_PROCESS` of `linux/ioprio.h`; its 0 is the calling thread.
const IO_OF_PROCESS: c_int = 1;

/// The scheduling class of the calling thread: `SCHED_OTHER` and so on.
fn scheduling_class() -> io::Result<c_int> {
    // SAFETY: a plain call on a number.
    let class = unsafe { libc::sched_getscheduler(0) };
    if class < 0 { Err(io::Error::last_os_error()) } else { Ok(class) }
}

fn set_scheduling_class(class: c_int) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: `parameters` is read only.
    let result = unsafe { libc::sched_setscheduler(0, class, &raw const parameters) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Class and level of the calling thread's input and output, as `ioprio_set(2)` packs them; -1 where
/// the system does not tell.
fn io_priority() -> c_int {
    // SAFETY: a plain call on numbers.
    let priority = unsafe { libc::syscall(libc::SYS_ioprio_get, IO_OF_PROCESS, 0) };
    c_int::try_from(priority).unwrap_or(-1)
}

fn set_io_priority(priority: c_int) -> io::Result<()> {
    // SAFETY: a plain call on numbers.
    let result = unsafe { libc::syscall(libc::SYS_ioprio_set, IO_OF_PROCESS, 0, priority) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A dead child, left unreaped. [`None`] when there is none.
pub fn peek_dead_child() -> io::Result<Option<Pid>> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` is writable; all zeroes is what the kernel leaves when there is none, and
    // `si_pid` is the field that `waitid` fills.
    let pid = unsafe {
        if libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), options) != 0 {
            let error = io::Error::last_os_error();
            return if error.raw_os_error() == Some(libc::ECHILD) { Ok(None) } else { Err(error) };
        }
        info.assume_init().si_pid()
    };
    Ok(Pid::from_raw(pid))
}

/// Releases the mapped pages of program files. Those in use come back from the page cache, a
/// microsecond each; those that only a start needs (the configuration's parser, relocations, unwind
/// tables) stay released.
pub fn forget_program_pages() {
    let Ok(maps) = OpenOptions::new().read(true).open("/proc/self/smaps") else { return };
    let lines = BufReader::new(maps).lines().map_while(Result::ok);
    for (start, length) in smaps::clean_mappings(lines) {
        // SAFETY: by the kernel's table a mapping of a file that is not writable and has no page
        // of its own: every byte comes from the file, and is read from there again.
        unsafe {
            libc::madvise(ptr::without_provenance_mut(start), length, libc::MADV_DONTNEED);
        }
    }
}

/// Takes ownership of `count` descriptors from [`FIRST_DESCRIPTOR`] on and marks them close-on-exec.
/// Once in a process's life, and before it opens anything: the numbers must be inherited.
///
/// # Errors
/// The OS error when one is not open; `AlreadyExists` the second time.
pub fn take_inherited(count: u32) -> io::Result<Vec<OwnedFd>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let count = c_int::try_from(count).map_err(io::Error::other)?;
    (FIRST_DESCRIPTOR..FIRST_DESCRIPTOR.saturating_add(count))
        .map(|number| {
            // SAFETY: plain `fcntl` on a number; nothing is owned before it is known to be open.
            if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: it is open and inherited, and the flag above makes sure that it is owned only
            // once.
            Ok(unsafe { OwnedFd::from_raw_fd(number) })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_runs_on_without_its_pages() {
        forget_program_pages();
        assert_eq!((0..100).map(|number| number.to_string().len()).sum::<usize>(), 190);
    }
}
