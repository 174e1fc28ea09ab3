//! Ends everything that a command started.

use std::{
    collections::HashSet,
    fs, io,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{
        Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitOptions, getpid, pidfd_open,
        pidfd_send_signal, wait, waitid,
    },
};

/// How long dying is waited for where no namespace does it at once. Who waits for a disk that does not
/// answer dies when it does.
const DYING: Duration = Duration::from_secs(5);

/// Between two looks for children that are not seen yet.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };

/// Kills all that descends from this process, which is the first of a pid namespace or adopts
/// orphans, and reaps it. Returns how many processes there were.
///
/// Only its own children are signalled: they are not reaped by anybody else, so their pids are
/// theirs. Killing them makes their children its own.
pub(crate) fn descendants() -> u32 {
    let mut killed = HashSet::new();
    let until = Instant::now() + DYING;
    loop {
        // Most have none, which is cheaper to find out than who they are.
        if matches!(wait(WaitOptions::NOHANG), Err(Errno::CHILD)) {
            return u32::try_from(killed.len()).unwrap_or(u32::MAX);
        }
        let children = children();
        if children.is_empty() {
            // One that was just made, or is about to be reaped.
            let _interrupted = poll(&mut [], Some(&PAUSE));
        }
        for child in children {
            let Ok(process) = pidfd_open(child, PidfdFlags::empty()) else { continue };
            if pidfd_send_signal(&process, Signal::KILL).is_ok() {
                killed.insert(child);
            }
            // Each is waited for: it may have left children.
            let left = until.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).unwrap_or_default();
            let _interrupted = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&left));
        }
        if Instant::now() >= until {
            return u32::try_from(killed.len()).unwrap_or(u32::MAX);
        }
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
    }
}

/// The children of this process that are no zombies. The kernel names them by thread; it names also
/// those that `/proc` hides, for they may not be looked at (`ProtectProc=invisible`).
pub(crate) fn children() -> Vec<Pid> {
    let Ok(threads) = fs::read_dir("/proc/self/task") else { return Vec::new() };
    let listed = threads.map(|thread| fs::read_to_string(thread?.path().join("children")));
    let pids: Vec<i32> = match listed.collect::<io::Result<Vec<_>>>() {
        Ok(listed) => listed
            .iter()
            .flat_map(|pids| pids.split_ascii_whitespace())
            .filter_map(|pid| pid.parse().ok())
            .collect(),
        // A kernel without that file.
        Err(_) => visible_children(),
    };
    pids.into_iter().filter_map(Pid::from_raw).filter(|pid| !is_zombie(*pid)).collect()
}

/// As every process tells who its parent is.
fn visible_children() -> Vec<i32> {
    let own = getpid().as_raw_nonzero().get();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| parent(*pid) == Some(own)).collect()
}

fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Whether a child has ended and is not reaped.
fn is_zombie(child: Pid) -> bool {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    matches!(waitid(WaitId::Pid(child), look), Ok(Some(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "children to look for")]
    fn children_are_found_by_their_parent_and_zombies_are_none() {
        let mut sleeps = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let mut ends = std::process::Command::new("true").spawn().unwrap();
        let (sleeping, ended) = (Pid::from_child(&sleeps), Pid::from_child(&ends));
        while !is_zombie(ended) {
            std::thread::yield_now();
        }
        assert!(children().contains(&sleeping) && !children().contains(&ended));
        assert!(visible_children().contains(&sleeping.as_raw_nonzero().get()));
        ends.wait().unwrap();
        sleeps.kill().unwrap();
        sleeps.wait().unwrap();
        assert!(!children().contains(&sleeping));
    }
}
