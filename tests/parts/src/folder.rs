//! A temporary folder that outlives nothing: durable commands are made to survive whoever started
//! them, so what a test started in its folder has to be ended when the test is over, also when it
//! failed in the middle.

use std::{
    ffi::OsStr,
    fs, io,
    ops::Deref,
    os::unix::ffi::OsStrExt,
    path::Path,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, getpid},
};
use tempfile::{Builder, TempDir};

/// How long the processes of a folder may take to die.
const DEATH: Duration = Duration::from_secs(5);

/// A temporary folder. When it is dropped, every process ends that works in it, or names it in its
/// arguments or its environment; then it is removed.
#[derive(Debug)]
pub struct Folder(TempDir);

impl Folder {
    /// A new one.
    ///
    /// # Errors
    /// The OS error.
    pub fn new() -> io::Result<Self> {
        tempfile::tempdir().map(Self)
    }

    /// A new one whose name begins so.
    ///
    /// # Errors
    /// The OS error.
    pub fn with_prefix(prefix: impl AsRef<OsStr>) -> io::Result<Self> {
        Builder::new().prefix(&prefix).tempdir().map(Self)
    }
}

impl Deref for Folder {
    type Target = TempDir;

    fn deref(&self) -> &TempDir {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let until = Instant::now() + DEATH;
        let mut living = living_of(self.0.path());
        // Some may be started while others die, and one that is about to become another program
        // names nothing for a moment: it is over when nothing was found twice.
        let mut empty = usize::from(living.is_empty());
        while empty < 2 && Instant::now() < until {
            for pid in living {
                let _gone = kill(pid, Signal::SIGKILL);
            }
            std::thread::sleep(Duration::from_millis(2));
            living = living_of(self.0.path());
            empty = if living.is_empty() { empty + 1 } else { 0 };
        }
    }
}

/// The processes of a folder, but for this one. One that is a zombie names nothing any more.
fn living_of(folder: &Path) -> Vec<Pid> {
    let name = folder.as_os_str().as_bytes();
    let names = |text: &[u8]| text.windows(name.len()).any(|piece| piece == name);
    let of_folder = |process: &Path| {
        ["environ", "cmdline"]
            .iter()
            .any(|file| fs::read(process.join(file)).is_ok_and(|text| names(&text)))
            || fs::read_link(process.join("cwd")).is_ok_and(|cwd| names(cwd.as_os_str().as_bytes()))
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = entries.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok().map(Pid::from_raw)?;
        (pid != getpid() && of_folder(&entry.path())).then_some(pid)
    });
    processes.collect()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn what_works_in_it_or_names_it_ends_with_it() {
        let folder = Folder::new().unwrap();
        let path = folder.path().to_owned();
        let mut named =
            Command::new("sleep").arg("1000").env("NAMED", path.join("in")).spawn().unwrap();
        let mut within = Command::new("sleep").arg("1000").current_dir(&path).spawn().unwrap();
        let mut other = Command::new("sleep").arg("1000").spawn().unwrap();
        // A child is another program only a moment after it is there.
        crate::until("both are known", || match living_of(&path).len() {
            2 => Ok(()),
            count => Err(count),
        });
        drop(folder);
        assert!(!path.exists());
        assert!(!named.wait().unwrap().success() && !within.wait().unwrap().success());
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
