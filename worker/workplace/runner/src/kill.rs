//! Ends everything that a command started.

use std::{
    collections::HashSet,
    fs,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, WaitOptions, getpid, kill_process, wait},
};

/// How long dying is waited for where no namespace does it at once.
const DYING: Duration = Duration::from_secs(5);

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
        for child in children() {
            if kill_process(child, Signal::KILL).is_ok() {
                killed.insert(child);
            }
        }
        // Each is waited for: it may have left children.
        match wait(WaitOptions::empty()) {
            Ok(_) | Err(Errno::INTR) if Instant::now() < until => {}
            Ok(_) | Err(_) => return u32::try_from(killed.len()).unwrap_or(u32::MAX),
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
