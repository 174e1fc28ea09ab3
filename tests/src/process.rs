//! Descriptors, memory and wake-ups of a process, from `/proc`.

use std::{fs, path::PathBuf};

/// Every process.
#[must_use]
pub fn all() -> Vec<u32> {
    let Ok(folder) = fs::read_dir("/proc") else { return Vec::new() };
    folder.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// How many descriptors a process has open; [`None`] when it is gone.
#[must_use]
pub fn descriptors(pid: u32) -> Option<usize> {
    Some(fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count())
}

/// What each descriptor of a process is: `socket:[1]`, a path.
#[must_use]
pub fn links(pid: u32) -> Vec<PathBuf> {
    let Ok(folder) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    folder.flatten().filter_map(|entry| fs::read_link(entry.path()).ok()).collect()
}

/// Whether a process lives (a zombie does not).
#[must_use]
pub fn is_alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").trim_start().starts_with('Z'))
}

/// Proportional and resident memory in KiB.
#[must_use]
pub fn memory_kib(pid: u32) -> Option<(u64, u64)> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let field =
        |name: &str| rollup.lines().find_map(|line| line.strip_prefix(name)).and_then(first_number);
    Some((field("Pss:")?, field("Rss:")?))
}

/// The most resident memory that it ever had, in KiB.
#[must_use]
pub fn peak_memory_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")).and_then(first_number)
}

/// Voluntary context switches of every thread so far: each is one wake-up.
#[must_use]
pub fn wake_ups(pid: u32) -> Option<u64> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
        let status = fs::read_to_string(task.path().join("status")).ok()?;
        sum += status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))
            .and_then(first_number)?;
    }
    Some(sum)
}

/// Processor time of a process so far, in microseconds (user and system, from `schedstat`).
#[must_use]
pub fn cpu_micros(pid: u32) -> Option<u64> {
    let mut nanos = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
        let stat = fs::read_to_string(task.path().join("schedstat")).ok()?;
        nanos += first_number(&stat)?;
    }
    Some(nanos / 1000)
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}
