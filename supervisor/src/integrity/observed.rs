//! How the supervisor is now, and what it may put back.

use std::io;

use evonic_process::folder::{Condition, Folder};
use rustix::process::{Rlimit, getrlimit, setrlimit};

use super::{Deviation, NEEDS, Place, Subject};
use crate::sys::Scheduling;

/// The folders of the service: a descriptor each.
#[derive(Debug)]
pub struct Folders {
    pub state: Folder,
    pub runtime: Folder,
}

/// What was read at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// In the order of [`NEEDS`].
    pub limits: [Rlimit; NEEDS.len()],
    pub scheduling: Scheduling,
    pub state: Condition,
    pub runtime: Condition,
}

impl Observed {
    /// Reads it. Waits for no disk: what it asks about is in the kernel's memory.
    ///
    /// # Errors
    /// The OS error.
    pub fn read(folders: &Folders) -> io::Result<Self> {
        Ok(Self {
            limits: NEEDS.map(|need| getrlimit(need.resource)),
            scheduling: Scheduling::read()?,
            state: folders.state.condition()?,
            runtime: folders.runtime.condition()?,
        })
    }

    /// Makes one part as it is here.
    ///
    /// # Errors
    /// The OS error: it stays as it is.
    pub fn put_back(&self, deviation: &Deviation, folders: &Folders) -> io::Result<()> {
        match deviation.subject {
            Subject::Limit(at) => {
                let resource = NEEDS[at].resource;
                let Rlimit { maximum, .. } = getrlimit(resource);
                // None is above every number.
                let number = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
                let lower = number(maximum) < number(self.limits[at].current);
                let current = if lower { maximum } else { self.limits[at].current };
                Ok(setrlimit(resource, Rlimit { current, maximum })?)
            }
            Subject::Scheduling(part) => self.scheduling.set(part),
            Subject::Folder(place) => match place {
                Place::State => folders.state.restore_mode(),
                Place::Runtime => folders.runtime.restore_mode(),
            },
        }
    }
}
