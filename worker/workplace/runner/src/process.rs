//! Which process it is: a pid alone proves nothing.

use std::{fs, io};

use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags, pidfd_open},
};
use serde::{Deserialize, Serialize};

/// One for each start of the machine.
pub const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A process of this boot, by its pid and the clock tick of its start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub pid: u32,
    /// Field 22 of `/proc/PID/stat`.
    pub start: u64,
    /// `/proc/sys/kernel/random/boot_id`; empty where that is hidden (`ProcSubset=pid`).
    pub boot: String,
}

/// What is known of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    Alive,
    /// It has ended, or is a zombie, or the machine has started anew.
    Over,
    /// Some process has this pid, and cannot be looked at: `ProtectProc=invisible`, or no descriptor is
    /// left.
    Hidden,
}

impl Identity {
    /// This process.
    ///
    /// # Errors
    /// The OS error, with the file.
    pub fn own() -> io::Result<Self> {
        let pid = std::process::id();
        let stat = read_stat(pid)?;
        let start = start_in(&stat).ok_or_else(|| io::Error::other("/proc shows no start time"))?;
        Ok(Self { pid, start, boot: boot().unwrap_or_default() })
    }

    /// Whether that process is there.
    #[must_use]
    pub fn life(&self) -> Life {
        if !self.is_of_this_boot() {
            return Life::Over;
        }
        match read_stat(self.pid) {
            Ok(stat) if start_in(&stat) == Some(self.start) => Life::Alive,
            Ok(_) => Life::Over,
            Err(_) if exists(self.pid) => Life::Hidden,
            Err(_) => Life::Over,
        }
    }

    /// Whether the machine has not started anew since, as far as it tells.
    #[must_use]
    pub fn is_of_this_boot(&self) -> bool {
        let now = boot().unwrap_or_default();
        now.is_empty() || self.boot.is_empty() || now == self.boot
    }
}

/// Whether some process has this pid, be it hidden in `/proc`.
#[must_use]
pub fn exists(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| {
        !matches!(pidfd_open(pid, PidfdFlags::empty()), Err(Errno::SRCH | Errno::INVAL))
    })
}

fn boot() -> io::Result<String> {
    Ok(fs::read_to_string(BOOT_ID)?.trim().to_owned())
}

fn read_stat(pid: u32) -> io::Result<String> {
    let path = format!("/proc/{pid}/stat");
    fs::read_to_string(&path)
        .map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))
}

/// When a process that lives began.
fn start_in(stat: &str) -> Option<u64> {
    // The name before may hold anything, parentheses too.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let state = fields.first()?;
    if matches!(*state, "Z" | "X") { None } else { fields.get(19)?.parse().ok() }
}

#[cfg(test)]
mod tests {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a process to look at")]
    fn a_process_is_known_by_more_than_its_pid() {
        let own = Identity::own().unwrap();
        assert_eq!(own.life(), Life::Alive);
        assert_eq!(Identity { start: own.start + 1, ..own.clone() }.life(), Life::Over);
        let elsewhere = Identity { boot: "another".to_owned(), ..own.clone() };
        assert_eq!(elsewhere.life(), Life::Over);
        // Where the boot is hidden, pid and start time have to do.
        let hidden = Identity { boot: String::new(), ..own.clone() };
        assert_eq!(hidden.life(), Life::Alive);
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let zombie = child.id();
        while start_in(&read_stat(zombie).unwrap()).is_some() {
            std::thread::yield_now();
        }
        let zombie = Identity { pid: zombie, ..own };
        assert_eq!(zombie.life(), Life::Over);
        assert!(exists(zombie.pid));
        child.wait().unwrap();
        assert!(!exists(zombie.pid));
        assert_eq!(zombie.life(), Life::Over);
    }

    /// As with a worker that has no descriptor left.
    #[test]
    fn what_cannot_be_looked_at_is_not_over() {
        let own = Identity::own().unwrap();
        let before = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: Some(0), ..before }).unwrap();
        let (life, elsewhere) = (own.life(), Identity { start: 0, ..own }.life());
        setrlimit(Resource::Nofile, before).unwrap();
        assert_eq!((life, elsewhere), (Life::Hidden, Life::Hidden));
    }
}
