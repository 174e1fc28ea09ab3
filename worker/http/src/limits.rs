//! Rate limits: how many requests a client may make over TCP.
//!
//! Where a request passes:
//!
//! 1. [`Limits::check_blocked`], before its key is checked: an address that presented too many keys that
//!    were refused is refused by what this worker remembers of it, without asking the database.
//! 2. [`Limits::count`], once it is known who asks: one statement charges every quota of its
//!    address and of its key, or of its address and its failures, or refuses it. The failures of
//!    an address are checked with every request, so that also what the other worker counted
//!    refuses it, whatever key it presents.
//!
//! A loopback address is everybody's on this machine: its failures are counted in the metrics only,
//! and its quota is for those who show no good key.
//!
//! When nothing can be counted, because the disk is full or the file is locked, who has a good
//! key is served: a limiter that fails must not lock the operator out, and what is behind it has
//! bounds of its own. A refused key is answered as such, but its address then has to wait for as long
//! as the strictest quota would make it wait once used up: guesses stay slow.
//!
//! | Part | What it does |
//! |---|---|
//! | `policy` | the quotas by name, and which of them hold for a request |
//! | `fields` | `RateLimit-Policy` and `RateLimit`, and the refusal |
//! | `blocked` | addresses that are refused before their key is checked |
//! | `counters` | the metrics of all that |

mod blocked;
mod counters;
mod fields;
mod policy;
#[cfg(test)]
mod tests;

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use evonic_shared::{config, error_chain::ErrorChain};
use http::HeaderMap;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;

pub(super) use self::policy::{Who, network};

use crate::limits::{
    blocked::Blocked,
    counters::Counters,
    fields::{MeterState, announce, refuse},
    policy::{Asked, Policies, Subject},
};
use crate::problem::Problem;
use evonic_store::{Charge, Level, Limiter, StoreError};

/// After a failure nothing is counted for this long: requests that wait for a database that does
/// not answer would only add up.
const PAUSE: Duration = Duration::from_secs(1);

/// The limits of a server.
#[derive(Debug)]
pub(super) struct Limits {
    limiter: Option<Limiter>,
    policies: Policies,
    blocked: Mutex<Blocked>,
    /// When counting failed last; none while it works.
    failed_at: Mutex<Option<Instant>>,
    counters: Counters,
}

impl Limits {
    /// By these quotas; without a limiter nothing is ever refused. Its metrics go to the registry.
    pub(super) fn new(
        settings: &config::Limits,
        limiter: Option<Limiter>,
        registry: &mut Registry,
    ) -> Self {
        Self {
            limiter,
            policies: Policies::new(settings),
            blocked: Mutex::default(),
            failed_at: Mutex::default(),
            counters: Counters::new(registry),
        }
    }

    /// Refuses an address whose failures are used up, before its key is checked.
    /// `fields` gets those of the answer.
    pub(super) fn check_blocked(
        &self,
        address: IpAddr,
        fields: &mut HeaderMap,
    ) -> Result<(), Problem> {
        let address = network(address);
        let now = Instant::now();
        let blocked = self.blocked.lock();
        let Some((policy, left)) = blocked.find(address, now) else { return Ok(()) };
        drop(blocked);
        let policy = &self.policies.of(Subject::Failed)[policy];
        self.refuse(&[MeterState { policy, remaining: 0, refill: Some(left) }], fields)
    }

    fn refuse(&self, states: &[MeterState<'_>], fields: &mut HeaderMap) -> Result<(), Problem> {
        states.iter().for_each(|state| self.counters.limited(state.policy));
        announce(states, fields);
        Err(refuse(states))
    }

    /// Counts a request, once it is known who asks. Cancel safe, but that a call that is dropped
    /// may have been counted. `fields` gets those of the answer.
    pub(super) async fn count<'a>(
        &'a self,
        address: IpAddr,
        who: Who<'_>,
        fields: &mut HeaderMap,
    ) -> Result<(), Problem> {
        if who == Who::Refused {
            self.counters.failures.inc();
        }
        let Some(limiter) = &self.limiter else { return Ok(()) };
        let address = network(address);
        let asked = self.policies.ask(address, who);
        if asked.is_empty() {
            return Ok(());
        }
        if self.failed_at.lock().is_some_and(|at| at.elapsed() < PAUSE) {
            self.uncounted(address, who);
            return Ok(());
        }
        let began = Instant::now();
        let meters = asked.iter().map(|asked| asked.meter.clone()).collect();
        let counted = limiter.count(meters).await;
        self.counters.durations.observe(began.elapsed().as_secs_f64());
        let levels = match counted {
            Ok(levels) => levels,
            Err(error) => {
                self.counting_failed(&error);
                self.uncounted(address, who);
                return Ok(());
            }
        };
        if self.failed_at.lock().take().is_some() {
            tracing::info!("requests are counted again");
        }
        let counted = asked.iter().zip(&levels);
        let state = |(asked, level): (&Asked<'a>, &Level)| MeterState {
            policy: asked.policy,
            remaining: level.remaining,
            refill: level.refill,
        };
        for state in counted.clone().map(state) {
            // Used up by this guess, or before it: the next one waits until there is room again.
            let is_failure = state.policy.subject == Subject::Failed && state.remaining == 0;
            if let Some(refill) = state.refill.filter(|_| is_failure) {
                self.block(address, state.policy.place, refill);
            }
        }
        let refusing: Vec<_> =
            counted.clone().filter(|(_, level)| level.refused).map(state).collect();
        if refusing.is_empty() {
            self.counters.allowed.inc();
            let charged = counted.filter(|(asked, _)| asked.meter.charge == Charge::One);
            announce(&charged.map(state).collect::<Vec<_>>(), fields);
            return Ok(());
        }
        self.refuse(&refusing, fields)
    }

    /// A request that could not be counted.
    fn uncounted(&self, address: IpAddr, who: Who<'_>) {
        self.counters.errors.inc();
        if who == Who::Refused
            && !address.is_loopback()
            && let Some((place, pause)) = self.policies.strictest_failure()
        {
            self.block(address, place, pause);
        }
    }

    fn block(&self, address: IpAddr, policy: usize, pause: Duration) {
        let now = Instant::now();
        let mut blocked = self.blocked.lock();
        blocked.block(address, policy, now, now + pause);
    }

    /// Logged once, until counting works again.
    fn counting_failed(&self, error: &StoreError) {
        let mut failed_at = self.failed_at.lock();
        if failed_at.replace(Instant::now()).is_none() {
            let error = ErrorChain(error);
            tracing::error!(%error, "requests cannot be counted: good keys are served unlimited");
        }
    }
}
