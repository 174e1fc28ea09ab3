//! How the kernel schedules the calling thread, which workers inherit: `sched(7)`, `ioprio_set(2)`.

use std::{fmt, io};

use nix::libc::c_int;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

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
        let nice = rustix::process::getpriority_process(None)?;
        let (class, io) = (super::scheduling_class()?, super::io_priority());
        Ok(Self { class, nice, io, processors: sched_getaffinity(None)? })
    }

    /// Gives the calling thread this part of it.
    ///
    /// # Errors
    /// The OS error: only root gives back what was given up.
    pub fn set(&self, part: SchedulingPart) -> io::Result<()> {
        match part {
            SchedulingPart::Class => super::set_scheduling_class(self.class),
            SchedulingPart::Nice => Ok(rustix::process::setpriority_process(None, self.nice)?),
            SchedulingPart::Io => super::set_io_priority(self.io),
            SchedulingPart::Processors => Ok(sched_setaffinity(None, &self.processors)?),
        }
    }
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
