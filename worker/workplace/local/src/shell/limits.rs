//! What one command may use of the machine.

use std::{fs, io};

use evonic_shared::config;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

/// The first to go when the machine runs out of memory, long before the service: half of the
/// memory is added to what it has. See <https://man7.org/linux/man-pages/man5/proc_pid_oom_score_adj.5.html>.
const OOM_SCORE: &str = "500";

/// Limits of every process of a command. See
/// <https://man7.org/linux/man-pages/man2/getrlimit.2.html>.
#[derive(Clone, Debug)]
pub(super) struct Limits(Vec<(Resource, u64)>);

impl Limits {
    /// Those that are configured; none of them above the service's own. No core is ever dumped.
    pub(super) fn of(settings: &config::Workplace) -> Self {
        let mut limits = vec![
            (Resource::Core, 0),
            // Nobody needs those of POSIX. By this limit, which only root can raise again, the
            // service's sockets know a command of an agent: see `evonic_shared::peer`.
            (Resource::Msgqueue, 0),
            (Resource::Nproc, u64::from(settings.max_processes)),
            // What is writable and its own: what is only reserved does not count.
            (Resource::Data, settings.max_memory_bytes),
            (Resource::Fsize, settings.max_file_bytes),
            (Resource::Nofile, u64::from(settings.max_open_files)),
        ];
        // A part of a second is a whole one.
        let seconds = |time: std::time::Duration| time.as_millis().div_ceil(1000);
        let time = settings.max_cpu_time.map(|time| u64::try_from(seconds(time)));
        limits.extend(time.map(|time| (Resource::Cpu, time.unwrap_or(u64::MAX))));
        Self(limits)
    }

    /// Puts them on a process that waits, for itself and all that it will start.
    ///
    /// # Errors
    /// The operating system's; the process must not go on then.
    pub(super) fn put_on(&self, process: Pid) -> io::Result<()> {
        for &(resource, limit) in &self.0 {
            let own = getrlimit(resource).maximum.unwrap_or(u64::MAX);
            let limit = Some(limit.min(own));
            prlimit(Some(process), resource, Rlimit { current: limit, maximum: limit })?;
        }
        // A kernel or a container may not allow it; nothing else depends on it.
        let score = format!("/proc/{}/oom_score_adj", process.as_raw_nonzero());
        if let Err(error) = fs::write(score, OOM_SCORE) {
            tracing::debug!(%error, "a command's score for the lack of memory cannot be set");
        }
        Ok(())
    }
}

/// What `evonic doctor` says of them.
pub(crate) fn describe(settings: &config::Workplace) -> String {
    let config::Workplace {
        max_processes, max_memory_bytes, max_file_bytes, max_open_files, ..
    } = settings;
    let root =
        if rustix::process::geteuid().is_root() { ", which does not hold for root" } else { "" };
    let time =
        settings.max_cpu_time.map_or("no limit of".to_owned(), |time| format!("{time:?} of"));
    let (memory, file) = (max_memory_bytes >> 20, max_file_bytes >> 20);
    format!(
        "a command's processes may have {memory} MiB of memory, {max_open_files} open files, files \
         of {file} MiB and {time} processor time each; {max_processes} \
         processes of the user{root}; no core dumps, and no rights by the service's sockets{root}"
    )
}
