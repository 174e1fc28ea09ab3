//! How much memory this process had resident at most (`VmHWM` of proc_pid_status(5)).
//!
//! Of the whole process: a test that measures it needs a process of its own, which nextest gives it.

use std::fs;

/// The peak from here on.
#[derive(Debug)]
pub struct PeakMemory(());

impl PeakMemory {
    /// Forgets earlier peaks.
    ///
    /// # Panics
    /// When `/proc` cannot be written.
    #[must_use]
    pub fn begin() -> Self {
        fs::write("/proc/self/clear_refs", "5").expect("the peak can be reset");
        Self(())
    }

    /// In bytes.
    ///
    /// # Panics
    /// When `/proc` does not tell.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let status = fs::read_to_string("/proc/self/status").expect("a status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kib.expect("a peak in KiB") * 1024
    }
}
