//! Which process it is: a pid alone proves nothing.

use std::{fs, io, path::Path};

use serde::{Deserialize, Serialize};

/// A process of this boot, by its pid and the clock tick of its start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub pid: u32,
    /// Field 22 of `/proc/PID/stat`.
    pub start: u64,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot: String,
}

impl Identity {
    /// This process.
    ///
    /// # Errors
    /// The operating system's.
    pub fn own() -> io::Result<Self> {
        let pid = std::process::id();
        let start =
            start_of(pid).ok_or_else(|| io::Error::other("/proc/self/stat is unreadable"))?;
        Ok(Self { pid, start, boot: boot()? })
    }

    /// Whether that process is there, and no zombie.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.is_of_this_boot() && start_of(self.pid) == Some(self.start)
    }

    /// Whether the machine has not started anew since.
    #[must_use]
    pub fn is_of_this_boot(&self) -> bool {
        boot().is_ok_and(|boot| boot == self.boot)
    }
}

fn boot() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// When a process that lives began.
fn start_of(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    // The name before may hold anything, parentheses too.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let state = fields.first()?;
    if matches!(*state, "Z" | "X") { None } else { fields.get(19)?.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a process to look at")]
    fn a_process_is_known_by_more_than_its_pid() {
        let own = Identity::own().unwrap();
        assert!(own.is_alive());
        assert!(!Identity { start: own.start + 1, ..own.clone() }.is_alive());
        assert!(!Identity { boot: "another".to_owned(), ..own.clone() }.is_alive());
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let zombie = child.id();
        while start_of(zombie).is_some() {
            std::thread::yield_now();
        }
        assert!(!Identity { pid: zombie, ..own }.is_alive());
        child.wait().unwrap();
    }
}
