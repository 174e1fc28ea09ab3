//! Ends everything that a command started.

use std::{
    collections::HashSet,
    fs,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, PidfdFlags, Signal, WaitOptions, getpid, pidfd_open, pidfd_send_signal, wait},
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

/// The children of this process that are no zombies.
pub(crate) fn children() -> Vec<Pid> {
    let own = getpid();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| is_child(*pid, own)).filter_map(Pid::from_raw).collect()
}

fn is_child(pid: i32, of: Pid) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let mut fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace();
    let (state, parent) = (fields.next(), fields.next().and_then(|parent| parent.parse().ok()));
    !matches!(state, Some("Z" | "X")) && parent == Some(of.as_raw_nonzero().get())
}
