//! Whether a worker's parts prove that they are alive.

use std::{collections::BTreeMap, time::Duration};

use evonic_shared::{control::Part, status::PartHealth};

use super::{Instant, messages::seconds};

/// Failed probes in a row that are a finding.
const PROBES: u32 = 2;

#[derive(Debug)]
pub struct Health {
    /// No proof is expected from before this instant.
    since: Instant,
    pub(crate) heartbeat_at: Option<Instant>,
    proofs: BTreeMap<Part, Instant>,
    failed_probes: u32,
}

impl Health {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, heartbeat_at: None, proofs: BTreeMap::new(), failed_probes: 0 }
    }

    /// Proofs are due from now on: the worker became ready, or the supervisor did not run.
    pub(super) fn begin(&mut self, now: Instant) {
        self.since = now;
        self.failed_probes = 0;
    }

    /// A part that the heartbeat does not name keeps its last proof.
    pub(super) fn heartbeat(&mut self, now: Instant, age: BTreeMap<Part, Duration>) {
        self.heartbeat_at = Some(now);
        for (part, age) in age {
            self.proofs.insert(part, now.saturating_sub(age));
        }
    }

    /// Records a probe; the finding after [`PROBES`] failures in a row.
    pub(super) fn probe(&mut self, answered: bool) -> Option<String> {
        self.failed_probes = if answered { 0 } else { self.failed_probes + 1 };
        (self.failed_probes >= PROBES)
            .then(|| format!("{} probes in a row were not answered", self.failed_probes))
    }

    /// When the first part is late without another heartbeat.
    pub(super) fn late_at(&self, timeout: Duration) -> Instant {
        let oldest = Part::ALL.into_iter().map(|part| self.proof(part)).min();
        oldest.unwrap_or(self.since) + timeout
    }

    /// The finding, if a part is late.
    ///
    /// Without a heartbeat for most of the timeout the worker is silent; otherwise one part of it
    /// has stopped.
    pub(super) fn finding(&self, now: Instant, timeout: Duration) -> Option<String> {
        let oldest = Part::ALL.into_iter().max_by_key(|part| self.age(*part, now))?;
        let age = self.age(oldest, now);
        let silence = now.saturating_sub(self.heartbeat_at.unwrap_or(self.since).max(self.since));
        (age >= timeout).then(|| {
            if silence > timeout * 3 / 4 {
                format!("no heartbeat for {}", seconds(silence))
            } else {
                format!("{oldest} has not checked in for {}", seconds(age))
            }
        })
    }

    pub(crate) fn of(&self, part: Part, now: Instant, timeout: Duration) -> PartHealth {
        match self.proofs.get(&part) {
            None => PartHealth::Unknown,
            Some(_) if self.age(part, now) >= timeout => PartHealth::Late,
            Some(_) => PartHealth::Ok,
        }
    }

    fn proof(&self, part: Part) -> Instant {
        self.proofs.get(&part).copied().unwrap_or(self.since).max(self.since)
    }

    fn age(&self, part: Part, now: Instant) -> Duration {
        now.saturating_sub(self.proof(part))
    }
}
