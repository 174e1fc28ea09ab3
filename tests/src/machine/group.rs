//! A control group of a machine's own: two machines in one would count, and kill, each other's
//! processes.

use std::{
    fs, io,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

/// A control group of the unified hierarchy. Removed, with all below it, when dropped: whatever ran
/// in it has ended by then.
#[derive(Debug)]
pub struct Group {
    path: PathBuf,
}

impl Group {
    /// Makes one below this process's own; [`None`] where that is not allowed.
    #[must_use]
    pub fn make(name: &str) -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "))?;
        let mount = mount.split(' ').nth(4)?;
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let own = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
        let path = Path::new(mount).join(own).join(name);
        fs::create_dir(&path).ok()?;
        Some(Self { path })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it to a user, as systemd delegates one.
    ///
    /// # Errors
    /// The OS error.
    pub fn delegate(&self, (user, group): (u32, u32)) -> io::Result<()> {
        for name in ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"] {
            chown(self.path.join(name), Some(user), Some(group))?;
        }
        Ok(())
    }

    /// Moves a process into it.
    ///
    /// # Errors
    /// The OS error.
    pub fn enter(&self, pid: u32) -> io::Result<()> {
        fs::write(self.path.join("cgroup.procs"), pid.to_string())
    }

    /// A command that enters it before it becomes this program.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ >\"$0/cgroup.procs\" && exec \"$@\""]);
        command.arg(&self.path).arg(program);
        command
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let began = Instant::now();
        // What was killed is in it until the kernel is done with it.
        while !is_removed(&self.path) && began.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Removes a group after those below it; whether it is gone.
fn is_removed(path: &Path) -> bool {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|file| file.is_dir()) {
            let _later = is_removed(&entry.path());
        }
    }
    fs::remove_dir(path).is_ok() || !path.exists()
}
