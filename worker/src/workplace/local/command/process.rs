//! Processes as `/proc` shows them.

use std::{fs, io, os::fd::OwnedFd, time::Duration};

use rustix::{
    buffer::spare_capacity,
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{Mode, OFlags},
    process::{Pid, getpid},
};

/// What is read of an environment at a time: more than almost any has.
const ENVIRONMENT_BYTES: usize = 128 * 1024;

/// What `/proc/PID/stat` says. See
/// <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stat {
    /// It is no zombie.
    pub(super) is_alive: bool,
    /// It is about to be one.
    pub(super) is_exiting: bool,
    /// It is a thread of the kernel.
    pub(super) is_kernel: bool,
    /// Its environment is there and empty.
    pub(super) is_bare: bool,
    /// When it was started, in ticks of the clock since the machine was.
    pub(super) started: u64,
}

impl Stat {
    /// `PF_EXITING` of the kernel's `include/linux/sched.h`.
    const EXITING: u32 = 0x0000_0004;

    /// `PF_KTHREAD`.
    const KERNEL: u32 = 0x0020_0000;

    pub(super) fn of(pid: Pid) -> Option<Self> {
        let text = fs::read(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
        Self::parse(&String::from_utf8_lossy(&text))
    }

    fn parse(text: &str) -> Option<Self> {
        // The second field is a name in parentheses that may have anything in it. Fields are
        // numbered from 1 by the manual; the first one here is the third.
        let fields: Vec<_> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3).copied();
        let flags: u32 = field(9)?.parse().ok()?;
        let (env_start, env_end) = (field(50)?, field(51)?);
        Some(Self {
            is_alive: !matches!(field(3)?, "Z" | "X"),
            is_exiting: flags & Self::EXITING != 0,
            is_kernel: flags & Self::KERNEL != 0,
            // Both are 0 while the next program is being loaded.
            is_bare: env_start == env_end && env_end != "0",
            started: field(22)?.parse().ok()?,
        })
    }
}

/// Every process but this one. The list is read whole, so that its folder is closed again.
pub(super) fn all() -> io::Result<Vec<Pid>> {
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.parse().ok());
        pids.extend(number.and_then(Pid::from_raw).filter(|&pid| pid != getpid()));
    }
    Ok(pids)
}

/// The environment of a process; empty when it has none at the moment. Read in one piece: when
/// the process goes on to another program between two reads, the second one finds nothing.
pub(super) fn environment(pid: Pid) -> io::Result<Vec<u8>> {
    let path = format!("/proc/{}/environ", pid.as_raw_nonzero());
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut variables = Vec::with_capacity(ENVIRONMENT_BYTES);
    while rustix::io::read(&file, spare_capacity(&mut variables))? > 0 {
        variables.reserve(ENVIRONMENT_BYTES);
    }
    Ok(variables)
}

/// Whether a process is of a group. By nix: rustix takes it that no group has the number 0, which
/// is that of the kernel's threads.
pub(super) fn is_of(pid: Pid, group: Pid) -> bool {
    let raw = |pid: Pid| nix::unistd::Pid::from_raw(pid.as_raw_nonzero().get());
    nix::unistd::getpgid(Some(raw(pid))) == Ok(raw(group))
}

pub(super) fn wait_for_end(process: &OwnedFd, at_most: Duration) {
    let timeout = Timespec::try_from(at_most).expect("50 ms fit");
    // An interrupted wait is a shorter one; the caller looks again in any case.
    let _ended = poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&timeout));
}

#[cfg(test)]
mod tests {
    use rustix::process::getpid;

    use super::Stat;

    fn stat(state: &str, flags: u32, env: [u64; 2]) -> Stat {
        let [env_start, env_end] = env;
        let zeros = |count| "0 ".repeat(count);
        let (a, b, c) = (zeros(5), zeros(12), zeros(27));
        let text = format!("7 (a ) (b) {state} {a}{flags} {b}5 {c}{env_start} {env_end} 0\n");
        Stat::parse(&text).expect("it has all fields")
    }

    const RUNNING: Stat =
        Stat { is_alive: true, is_exiting: false, is_kernel: false, is_bare: false, started: 5 };

    #[test]
    fn a_process_between_two_programs_is_told_from_one_without_environment() {
        let bare = Stat { is_bare: true, ..RUNNING };
        let exiting = Stat { is_exiting: true, ..RUNNING };
        assert_eq!(stat("R", 0x0040_0000, [0, 0]), RUNNING, "its next program is being loaded");
        assert_eq!(stat("S", 0x0040_0000, [7, 9]), RUNNING, "its next program is loaded by now");
        assert_eq!(stat("S", 0x0040_0000, [7, 7]), bare, "an empty environment");
        assert_eq!(stat("I", 0x0020_8040, [0, 0]), Stat { is_kernel: true, ..RUNNING });
        assert_eq!(stat("R", 0x0040_0004, [0, 0]), exiting);
        assert_eq!(stat("Z", 0x0040_0004, [0, 0]), Stat { is_alive: false, ..exiting });
        assert_eq!(Stat::parse("7 (short) R 1"), None);
    }

    #[test]
    fn the_kernel_writes_what_is_parsed() {
        let own = Stat::of(getpid()).expect("it is there");
        assert_eq!(own, Stat { started: own.started, ..RUNNING });
        let kernel = std::fs::read_to_string("/proc/2/stat").ok();
        let kernel = kernel.filter(|stat| stat.contains("(kthreadd)"));
        let told = kernel.as_deref().and_then(Stat::parse);
        assert!(told.is_none_or(|stat| stat.is_kernel && stat.started <= own.started));
    }
}
