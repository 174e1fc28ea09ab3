//! Finds the processes of a command, and kills them: those of its process group, and those with
//! its mark in their environment.
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

/// How long a killed process is given to die before the next look.
const DYING: Duration = Duration::from_millis(50);

/// How long a process is given to get from one program to the next.
const BETWEEN: Duration = Duration::from_millis(1);

/// What a look at a process shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// It is the command's.
    Belongs,
    /// It is not, or it is dead.
    Passes,
    /// It is between two programs, and has no environment for a moment.
    Between,
    /// It is the command's, and on its way out.
    Dying,
}

/// Kills every process that carries the mark or is of the group, whose number must be kept from
/// being another group's by an unreaped leader. Ends when a list of all processes has none that
/// was not looked at: so one that dies by itself cannot have left a child that is missed. Returns
/// how many were killed.
///
/// # Errors
/// The operating system's, when `/proc` cannot be read.
pub(super) fn kill_all(mark: &str, group: Option<Pid>, within: Duration) -> io::Result<u32> {
    let deadline = Instant::now() + within;
    let mut sweep = Sweep::new(mark, group);
    while sweep.look_at_new()? {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            tracing::warn!(mark, killed = sweep.killed.len(), "processes do not die");
            break;
        }
        if let Some((process, patience)) = sweep.wait_for.take() {
            wait_for_end(&process, patience.min(left));
        }
    }
    Ok(u32::try_from(sweep.killed.len()).unwrap_or(u32::MAX))
}

struct Sweep {
    /// `EVONIC_CALL=MARK`.
    wanted: Vec<u8>,
    group: Option<Pid>,
    killed: HashSet<Pid>,
    /// Looked at, and not to be looked at again.
    passed: HashSet<Pid>,
    /// A process whose end, or next program, the next look waits for.
    wait_for: Option<(OwnedFd, Duration)>,
}

impl Sweep {
    fn new(mark: &str, group: Option<Pid>) -> Self {
        let wanted = format!("{VARIABLE}={mark}").into_bytes();
        let (killed, passed) = (HashSet::new(), HashSet::new());
        Self { wanted, group, killed, passed, wait_for: None }
    }

    /// Looks at the processes that were not looked at, and kills those that belong to the
    /// command. Whether there were any.
    fn look_at_new(&mut self) -> io::Result<bool> {
        let mut any = false;
        for pid in processes()? {
            if self.passed.contains(&pid) {
                continue;
            }
            any = true;
            let patience = match self.look(pid) {
                Look::Passes => {
                    self.passed.insert(pid);
                    continue;
                }
                Look::Between => BETWEEN,
                Look::Belongs | Look::Dying => DYING,
            };
            // One at a time: the last one's is closed first.
            self.wait_for = None;
            self.wait_for = self.kill(pid).map(|process| (process, patience));
        }
        Ok(any)
    }

    fn look(&self, pid: Pid) -> Look {
        if self.group.is_some_and(|group| is_of(pid, group)) {
            return match Stat::of(pid) {
                Some(Stat { is_alive: true, is_exiting: false, .. }) => Look::Belongs,
                Some(Stat { is_alive: true, .. }) => Look::Dying,
                _ => Look::Passes,
            };
        }
        match fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())) {
            // Gone, or another user's.
            Err(_) => Look::Passes,
            Ok(variables) if variables.is_empty() => self.look_without_environment(pid),
            Ok(variables) => {
                let mut variables = variables.split(|&byte| byte == 0);
                let belongs = variables.any(|variable| variable == self.wanted);
                if belongs { Look::Belongs } else { Look::Passes }
            }
        }
    }

    fn look_without_environment(&self, pid: Pid) -> Look {
        match Stat::of(pid) {
            Some(stat) if stat.is_alive && self.killed.contains(&pid) => Look::Dying,
            Some(stat) if stat.is_alive && stat.is_between => Look::Between,
            _ => Look::Passes,
        }
    }

    /// Kills a process if it belongs to the command. That is looked at again once the pidfd is
    /// held, so that the number of a process that ended meanwhile cannot hit another one.
    fn kill(&mut self, pid: Pid) -> Option<OwnedFd> {
        let process = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        if self.look(pid) == Look::Belongs {
            pidfd_send_signal(&process, Signal::KILL).ok()?;
            self.killed.insert(pid);
        }
        Some(process)
    }
}

/// What `/proc/PID/stat` says. See
/// <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    /// It is no zombie.
    is_alive: bool,
    /// It is about to be one.
    is_exiting: bool,
    /// It has left its last program and has no environment of the next one yet.
    is_between: bool,
}

impl Stat {
    /// `PF_EXITING` of the kernel's `include/linux/sched.h`.
    const EXITING: u32 = 0x0000_0004;

    /// `PF_KTHREAD`: a thread of the kernel, which never has an environment.
    const KERNEL: u32 = 0x0020_0000;

    fn of(pid: Pid) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
        text.ok().as_deref().and_then(Self::parse)
    }

    fn parse(text: &str) -> Option<Self> {
        // The second field is a name in parentheses that may have anything in it. Fields are
        // numbered from 1 by the manual; the first one here is the third.
        let fields: Vec<_> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3).copied();
        let flags: u32 = field(9)?.parse().ok()?;
        let has_environment = field(51)? != "0";
        Some(Self {
            is_alive: !matches!(field(3)?, "Z" | "X"),
            is_exiting: flags & Self::EXITING != 0,
            is_between: flags & (Self::EXITING | Self::KERNEL) == 0 && !has_environment,
        })
    }
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

/// Whether a process is of a group. By nix: rustix takes it that no group has the number 0, which
/// is that of the kernel's threads.
fn is_of(pid: Pid, group: Pid) -> bool {
    let raw = |pid: Pid| nix::unistd::Pid::from_raw(pid.as_raw_nonzero().get());
    nix::unistd::getpgid(Some(raw(pid))) == Ok(raw(group))
}

fn wait_for_end(process: &OwnedFd, at_most: Duration) {
    let timeout = Timespec::try_from(at_most).expect("50 ms fit");
    // An interrupted wait is a shorter one; the caller looks again in any case.
    let _ended = poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&timeout));
}

#[cfg(test)]
mod tests {
    use super::Stat;

    fn stat(state: &str, flags: u32, env_end: u64) -> Stat {
        let zeros = |count| "0 ".repeat(count);
        let text = format!("7 (a ) (b) {state} {}{flags} {}{env_end} 0\n", zeros(5), zeros(41));
        Stat::parse(&text).expect("it has all fields")
    }

    #[test]
    fn a_process_between_two_programs_is_told_from_all_others() {
        let running = Stat { is_alive: true, is_exiting: false, is_between: false };
        assert_eq!(stat("R", 0x0040_0000, 0), Stat { is_between: true, ..running });
        assert_eq!(stat("S", 0x0040_0000, 140_000), running, "an empty environment");
        assert_eq!(stat("I", 0x0020_8040, 0), running, "a thread of the kernel");
        let exiting = Stat { is_exiting: true, ..running };
        assert_eq!(stat("R", 0x0040_0004, 0), exiting);
        assert_eq!(stat("Z", 0x0040_0004, 0), Stat { is_alive: false, ..exiting });
        assert_eq!(Stat::parse("7 (short) R 1"), None);
    }

    #[test]
    fn the_kernel_writes_what_is_parsed() {
        let own = std::fs::read_to_string("/proc/self/stat").expect("/proc is there");
        let running = Stat { is_alive: true, is_exiting: false, is_between: false };
        assert_eq!(Stat::parse(&own), Some(running));
        let threads = std::fs::read_to_string("/proc/2/stat").ok();
        let kernel = threads.filter(|stat| stat.contains("(kthreadd)"));
        let told = kernel.as_deref().and_then(Stat::parse);
        assert!(told.is_none_or(|stat| !stat.is_between), "kthreadd has no program");
    }
}
