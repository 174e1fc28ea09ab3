//! How the kernel schedules the calling thread, which workers inherit: `sched(7)`, `ioprio_set(2)`.

use std::{fmt, io};

use nix::libc::{self, c_int, c_long};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// `IOPRIO_WHO_PROCESS` of `linux/ioprio.h`; 0 is the calling thread.
const IO_OF_PROCESS: c_int = 1;

/// The scheduling of the thread that read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheduling {
    /// `SCHED_OTHER` and so on.
    pub class: c_int,
    /// From -20 to 19.
    pub nice: i32,
    /// Class and level of input and output; -1 where the system does not tell.
    pub io: c_int,
    /// The processors that it may run on.
    pub processors: CpuSet,
}

/// A part of it that can be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchedulingPart {
    Class,
    Nice,
    Io,
    Processors,
}

impl fmt::Display for SchedulingPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Class => "scheduling class",
            Self::Nice => "nice value",
            Self::Io => "class of input and output",
            Self::Processors => "set of processors",
        })
    }
}

impl Scheduling {
    /// That of the calling thread.
    ///
    /// # Errors
    /// The OS error.
    pub fn read() -> io::Result<Self> {
        // SAFETY: plain calls on numbers.
        let (class, io) = unsafe {
            (libc::sched_getscheduler(0), libc::syscall(libc::SYS_ioprio_get, IO_OF_PROCESS, 0))
        };
        if class < 0 {
            return Err(io::Error::last_os_error());
        }
        let nice = rustix::process::getpriority_process(None)?;
        let io = c_int::try_from(io).map_err(io::Error::other)?;
        Ok(Self { class, nice, io, processors: sched_getaffinity(None)? })
    }

    /// Gives the calling thread this part of it.
    ///
    /// # Errors
    /// The OS error: only root gives back what was given up.
    pub fn set(&self, part: SchedulingPart) -> io::Result<()> {
        match part {
            SchedulingPart::Class => {
                let parameters = libc::sched_param { sched_priority: 0 };
                // SAFETY: `parameters` is read only.
                check(
                    unsafe { libc::sched_setscheduler(0, self.class, &raw const parameters) }
                        .into(),
                )
            }
            SchedulingPart::Nice => Ok(rustix::process::setpriority_process(None, self.nice)?),
            // SAFETY: a plain call on numbers.
            SchedulingPart::Io => {
                check(unsafe { libc::syscall(libc::SYS_ioprio_set, IO_OF_PROCESS, 0, self.io) })
            }
            SchedulingPart::Processors => Ok(sched_setaffinity(None, &self.processors)?),
        }
    }
}

fn check(result: c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On a thread of its own, which ends with what was set.
    #[test]
    fn what_is_set_is_read_and_what_may_be_is_put_back() {
        std::thread::spawn(|| {
            let before = Scheduling::read().unwrap();
            let mut one = CpuSet::new();
            let first = (0..CpuSet::MAX_CPU).find(|&cpu| before.processors.is_set(cpu)).unwrap();
            one.set(first);
            let idle_io = 3 << 13;
            let changed = Scheduling { processors: one, io: idle_io, ..before.clone() };
            changed.set(SchedulingPart::Processors).unwrap();
            changed.set(SchedulingPart::Io).unwrap();
            assert_eq!(Scheduling::read().unwrap(), changed);
            before.set(SchedulingPart::Processors).unwrap();
            before.set(SchedulingPart::Io).unwrap();
            assert_eq!(Scheduling::read().unwrap(), before);
            let slow = Scheduling { nice: 19, ..before.clone() };
            slow.set(SchedulingPart::Nice).unwrap();
            assert_eq!(Scheduling::read().unwrap().nice, 19);
        })
        .join()
        .unwrap();
    }
}
