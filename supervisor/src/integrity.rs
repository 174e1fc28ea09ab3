//! Whether somebody changed the supervisor itself so that it cannot start a worker any more: its
//! limits, its scheduling, its folders. Pure, as `policy` is; `observed` reads and mends.
//!
//! A command of an agent that is not confined by namespaces may have the service's user, and with it
//! `prlimit`, `renice` and `chmod` on what belongs to that user. A worker inherits what the
//! supervisor has, so a supervisor that serves on would be an outage from its next start on, which
//! systemd does not see.
//!
//! - What the supervisor may put back, it does.
//! - What it may not (a hard limit, a nice value, an owner, a folder that is another one) makes it
//!   end with `ExitCode::Tampered`, where somebody starts it anew: systemd. Its worker drains first.
//! - Without systemd it serves on for as long as its worker does, and ends when it has none.
//! - What a service can live with (a limit that is lower, and enough) is told, until a worker
//!   cannot be started.

mod observed;

use std::time::Duration;

use evonic_process::folder::{Condition, octal};
use evonic_shared::status::Measure;
use rustix::process::{Resource, Rlimit};

pub use self::observed::{Folders, Observed};
use crate::{
    policy::Instant,
    sys::{Scheduling, SchedulingPart},
};

/// The shortest time between two checks. They ride on what wakes the loop anyway: a heartbeat.
const INTERVAL: Duration = Duration::from_secs(1);

/// A limit that a worker needs: of what, in which words, and how much is enough for one.
#[derive(Clone, Copy, Debug)]
pub struct Need {
    pub resource: Resource,
    name: &'static str,
    enough: u64,
}

const fn need(resource: Resource, name: &'static str, enough: u64) -> Need {
    Need { resource, name, enough }
}

/// Lower than this no worker starts, or none lives for long. How many files are enough, says the
/// configuration.
pub const NEEDS: [Need; 7] = [
    need(Resource::Nofile, "open files", 0),
    need(Resource::Nproc, "processes", 64),
    need(Resource::As, "bytes of addresses", 2 << 30),
    need(Resource::Data, "bytes of data", 256 << 20),
    need(Resource::Stack, "bytes of stack", 1 << 20),
    need(Resource::Fsize, "bytes of a file", 64 << 20),
    need(Resource::Cpu, "seconds of processor", u64::MAX),
];

/// The folders of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    State,
    Runtime,
}

/// What was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// One of [`NEEDS`].
    Limit(usize),
    Scheduling(SchedulingPart),
    Folder(Place),
}

/// A difference between how the supervisor began and how it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deviation {
    pub subject: Subject,
    /// In a sentence.
    pub detail: String,
    pub severity: Severity,
}

/// What a deviation means where it stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// A worker can do with it.
    Bearable,
    /// A worker runs, and poorly.
    Harmful,
    /// No worker can be started.
    Fatal,
}

/// Who starts a supervisor that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restarter {
    Systemd,
    Nobody,
}

/// How the workers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workers {
    /// One serves.
    pub is_serving: bool,
    /// The last start failed.
    pub has_failed: bool,
}

/// What is to be said and done about a check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// What was not told before, or is told of another measure.
    pub report: Vec<(Deviation, Measure)>,
    /// The supervisor is to end, for a clean one to start.
    pub exits: bool,
}

/// The state between checks.
#[derive(Debug)]
pub struct Integrity {
    began: Observed,
    restarter: Restarter,
    /// Deviations that stay, as they were told.
    told: Vec<(Deviation, Measure)>,
    next_check: Instant,
}

impl Integrity {
    /// `began` is how the supervisor is to be.
    pub const fn new(began: Observed, restarter: Restarter) -> Self {
        Self { began, restarter, told: Vec::new(), next_check: Instant::ZERO }
    }

    /// Whether to check now.
    pub fn is_due(&mut self, now: Instant) -> bool {
        let is_due = now >= self.next_check;
        if is_due {
            self.next_check = now + INTERVAL;
        }
        is_due
    }

    /// Makes the next check due.
    pub const fn check_now(&mut self) {
        self.next_check = Instant::ZERO;
    }

    /// What a repair gives back.
    pub const fn began(&self) -> &Observed {
        &self.began
    }

    /// How what was read differs from the beginning. `nofile` is the worker's limit of open files.
    pub fn deviations(&self, observed: &Observed, nofile: u64) -> Vec<Deviation> {
        let limits = (0..NEEDS.len()).filter_map(|at| self.limit(at, observed.limits[at], nofile));
        let scheduling = scheduling(&self.began.scheduling, &observed.scheduling);
        let folders = [(Place::State, observed.state), (Place::Runtime, observed.runtime)];
        let folders = folders.into_iter().filter_map(|(place, found)| folder(place, found));
        limits.chain(scheduling).chain(folders).collect()
    }

    fn limit(&self, at: usize, found: Rlimit, nofile: u64) -> Option<Deviation> {
        let (need, began) = (NEEDS[at], self.began.limits[at]);
        let number = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
        let (soft, hard) = (number(found.current), number(found.maximum));
        if soft >= number(began.current) && hard >= number(began.maximum) {
            return None;
        }
        let enough = if need.resource == Resource::Nofile { nofile } else { need.enough };
        // An operator's own limit is no tampering.
        let enough = enough.min(number(began.maximum));
        let (kind, limit) = match hard < number(began.maximum) {
            true => ("hard", hard),
            false => ("soft", soft),
        };
        let severity = if limit < enough { Severity::Fatal } else { Severity::Bearable };
        let was = match if kind == "hard" { began.maximum } else { began.current } {
            Some(was) => was.to_string(),
            None => "none".to_owned(),
        };
        let detail = format!("the {kind} limit of {} is {limit}; it was {was}", need.name);
        Some(Deviation { subject: Subject::Limit(at), detail, severity })
    }

    /// What to do about what was `found`, of which `remaining` could not be put back.
    pub fn decide(
        &mut self,
        found: Vec<Deviation>,
        remaining: &[Deviation],
        workers: Workers,
    ) -> Decision {
        let worst = remaining.iter().map(|deviation| deviation.severity).max();
        let exits = worst.is_some_and(|worst| match self.restarter {
            Restarter::Systemd => worst >= Severity::Harmful || workers.has_failed,
            Restarter::Nobody => {
                !workers.is_serving && (worst == Severity::Fatal || workers.has_failed)
            }
        });
        let measure = |deviation: &Deviation| {
            let stays = remaining.iter().any(|left| left.subject == deviation.subject);
            match (stays, exits) {
                (false, _) => Measure::PutBack,
                (true, false) => Measure::Reported,
                (true, true) => Measure::Exit,
            }
        };
        let measured = |deviation: Deviation| {
            let measure = measure(&deviation);
            (deviation, measure)
        };
        let all: Vec<_> = found.into_iter().map(measured).collect();
        let report = all.iter().filter(|one| !self.told.contains(one)).cloned().collect();
        // What was put back is told each time that it is changed again.
        self.told = all.into_iter().filter(|(_, measure)| *measure != Measure::PutBack).collect();
        Decision { report, exits }
    }
}

fn scheduling(began: &Scheduling, found: &Scheduling) -> Vec<Deviation> {
    let lacks = |cpu| began.processors.is_set(cpu) && !found.processors.is_set(cpu);
    let lacks_processor = (0..rustix::thread::CpuSet::MAX_CPU).any(lacks);
    let count = |scheduling: &Scheduling| scheduling.processors.count();
    let changed = |part: SchedulingPart, is: String, was: String| {
        // What moved the control group to other processors may move them as well.
        let severity = match part {
            SchedulingPart::Processors | SchedulingPart::Io => Severity::Bearable,
            SchedulingPart::Class | SchedulingPart::Nice => Severity::Harmful,
        };
        let detail = format!("the {part} is {is}; it was {was}");
        Deviation { subject: Subject::Scheduling(part), detail, severity }
    };
    let numbers = |is: i32, was: i32| (is.to_string(), was.to_string());
    [
        (SchedulingPart::Class, found.class != began.class, numbers(found.class, began.class)),
        (SchedulingPart::Nice, found.nice > began.nice, numbers(found.nice, began.nice)),
        (SchedulingPart::Io, found.io != began.io, numbers(found.io, began.io)),
        (
            SchedulingPart::Processors,
            lacks_processor,
            (format!("of {}", count(found)), format!("of {}", count(began))),
        ),
    ]
    .into_iter()
    .filter(|(_, is_changed, _)| *is_changed)
    .map(|(part, _, (is, was))| changed(part, is, was))
    .collect()
}

fn folder(place: Place, found: Condition) -> Option<Deviation> {
    let name = match place {
        Place::State => "state_dir",
        Place::Runtime => "runtime_dir",
    };
    let detail = match found {
        Condition::Sound => return None,
        Condition::Mode(mode) => format!("the mode of {name} is {}", octal(mode)),
        Condition::Owner(uid) => format!("{name} belongs to uid {uid}"),
        Condition::Replaced => format!("another folder, or none, is at {name}"),
    };
    Some(Deviation { subject: Subject::Folder(place), detail, severity: Severity::Fatal })
}

#[cfg(test)]
mod tests;
