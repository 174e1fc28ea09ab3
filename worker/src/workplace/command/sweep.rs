//! Finds processes by the mark in their environment, and kills them.
//!
//! The environment that `/proc/PID/environ` shows is the one of the last `execve`: a process that
//! left its group and its session still carries the mark. What cleans its environment *and* leaves
//! the process group is not found.

use std::{
    collections::HashSet,
    fs, io,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, getpid, pidfd_open, pidfd_send_signal},
};

/// The variable that carries the mark.
pub(super) const VARIABLE: &str = "EVONIC_CALL";

/// Descriptors that a sweep holds at the most: a pidfd, and one file of `/proc`.
pub(super) const DESCRIPTORS: u32 = 2;

/// How long one process is given to die before the next look.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Kills every process that carries the mark, again and again until a look at all of them finds
/// none or the time is out. Returns how many there were.
///
/// # Errors
/// The operating system's, when `/proc` cannot be read.
pub(super) fn kill_marked(mark: &str, within: Duration) -> io::Result<u32> {
    let deadline = Instant::now() + within;
    let wanted = format!("{VARIABLE}={mark}").into_bytes();
    let mut killed = HashSet::new();
    loop {
        let Some(last) = kill_once(&wanted, &mut killed)? else { break };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            tracing::warn!(mark, killed = killed.len(), "processes of a command do not die");
            break;
        }
        wait_for_end(&last, left.min(LOOK_AGAIN));
    }
    Ok(u32::try_from(killed.len()).unwrap_or(u32::MAX))
}

/// One look. Returns the last process that was sent the signal.
fn kill_once(wanted: &[u8], killed: &mut HashSet<Pid>) -> io::Result<Option<OwnedFd>> {
    let mut last = None;
    for pid in processes()? {
        if carries(pid, wanted) {
            drop(last.take());
            last = kill(pid, wanted);
            if last.is_some() {
                killed.insert(pid);
            }
        }
    }
    Ok(last)
}

/// Every process but this one. The list is read whole, so that its folder is closed again.
fn processes() -> io::Result<Vec<Pid>> {
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.parse().ok());
        pids.extend(number.and_then(Pid::from_raw).filter(|&pid| pid != getpid()));
    }
    Ok(pids)
}

/// Whether the process carries the mark. A dead one, a zombie and one of another user do not.
fn carries(pid: Pid, wanted: &[u8]) -> bool {
    let path = format!("/proc/{}/environ", pid.as_raw_nonzero());
    fs::read(path).is_ok_and(|variables| variables.split(|&byte| byte == 0).any(|v| v == wanted))
}

/// Kills a process that carries the mark. The mark is looked at again once the pidfd is held, so
/// that the number of a process that ended meanwhile cannot hit another one.
fn kill(pid: Pid, wanted: &[u8]) -> Option<OwnedFd> {
    let process = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    if !carries(pid, wanted) {
        return None;
    }
    pidfd_send_signal(&process, Signal::KILL).ok().map(|()| process)
}

fn wait_for_end(process: &OwnedFd, at_most: Duration) {
    let timeout = Timespec::try_from(at_most).expect("50 ms fit");
    // An interrupted wait is a shorter one; the caller looks again in any case.
    let _ended = poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&timeout));
}
