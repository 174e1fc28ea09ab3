//! Finds the processes of a command, and kills them: those of its process group, and those with
//! its mark in their environment.
//!
//! The environment that `/proc/PID/environ` shows is the one of the last `execve`: a process that
//! left its group and its session still carries the mark. What cleans its environment *and* leaves
//! the process group is not found.

use std::{
    collections::{HashMap, HashSet},
    io,
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::process::{Stat, all, environment, is_of, wait_for_end};

/// The variable that carries the mark.
pub(super) const VARIABLE: &str = "EVONIC_CALL";

/// Descriptors that a sweep holds at the most: a pidfd, and one file of `/proc`.
pub(super) const DESCRIPTORS: u32 = 2;

/// How long a killed process is given to die before the next look.
const DYING: Duration = Duration::from_millis(50);

/// How long a process is given to get from one program to the next.
const BETWEEN: Duration = Duration::from_millis(1);

/// How often a process without environment is looked at before it counts as made so.
const BARE_LOOKS: u32 = 10;

/// What a look at a process shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// It is the command's.
    Belongs,
    /// It is not, or it is dead.
    Passes,
    /// It is between two programs, and shows no environment for a moment.
    Between,
    /// It has no environment: it is either made so, or between two programs.
    Bare,
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
    /// How often those without environment were looked at.
    bare: HashMap<Pid, u32>,
    /// When the leader was started: no process of the command is older.
    since: u64,
    /// A process whose end, or next program, the next look waits for.
    wait_for: Option<(OwnedFd, Duration)>,
}

impl Sweep {
    fn new(mark: &str, group: Option<Pid>) -> Self {
        let wanted = format!("{VARIABLE}={mark}").into_bytes();
        let (killed, passed, bare) = (HashSet::new(), HashSet::new(), HashMap::new());
        let since = group.and_then(Stat::of).map_or(0, |stat| stat.started);
        Self { wanted, group, killed, passed, bare, since, wait_for: None }
    }

    /// Looks at the processes that were not looked at, and kills those that belong to the
    /// command. Whether there were any.
    fn look_at_new(&mut self) -> io::Result<bool> {
        let mut any = false;
        for pid in all()? {
            if self.passed.contains(&pid) {
                continue;
            }
            any = true;
            let patience = match self.look(pid) {
                Look::Passes => {
                    self.passed.insert(pid);
                    continue;
                }
                Look::Bare if self.is_made_bare(pid) => {
                    self.passed.insert(pid);
                    continue;
                }
                Look::Between | Look::Bare => BETWEEN,
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
        match environment(pid) {
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
            Some(stat) if !stat.is_alive || stat.is_exiting || stat.is_kernel => Look::Passes,
            Some(stat) if stat.started < self.since => Look::Passes,
            Some(stat) if stat.is_bare => Look::Bare,
            Some(_) => Look::Between,
            None => Look::Passes,
        }
    }

    fn is_made_bare(&mut self, pid: Pid) -> bool {
        let looks = self.bare.entry(pid).or_default();
        *looks += 1;
        *looks > BARE_LOOKS
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use rustix::process::Pid;

    use super::{Look, Sweep, VARIABLE};

    /// A process that carries the mark in every one of its programs, and goes on to the next one
    /// all the time.
    #[test]
    fn a_process_is_not_passed_over_between_two_programs() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let script = folder.path().join("script");
        std::fs::write(&script, "exec sh \"$0\"").expect("a file is written");
        #[expect(clippy::disallowed_methods, reason = "stands for what a command started")]
        let mut process = std::process::Command::new("sh")
            .arg(&script)
            .env(VARIABLE, "always-on-the-move")
            .spawn()
            .expect("there is a shell");
        let sweep = Sweep::new("always-on-the-move", None);
        let pid = Pid::from_child(&process);
        let (mut looks, mut between, mut bare, mut passed) = (0_u32, 0_u32, 0_u32, 0_u32);
        let deadline = Instant::now() + Duration::from_secs(1);
        while Instant::now() < deadline {
            looks += 1;
            match sweep.look(pid) {
                Look::Belongs => {}
                Look::Between => between += 1,
                Look::Bare => bare += 1,
                Look::Passes | Look::Dying => passed += 1,
            }
        }
        process.kill().expect("it is ours");
        process.wait().expect("it is ours");
        println!("{looks} looks, {between} between two programs, {bare} without environment");
        assert_eq!(passed, 0, "of {looks} looks");
        assert!(between > 0, "not once in {looks} looks");
    }
}
