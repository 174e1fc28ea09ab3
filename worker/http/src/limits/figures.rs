//! What is counted about limits; no label holds an address or a key.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};

use super::policy::Policy;

/// Upper bounds in seconds: a count takes a fraction of a millisecond, a lock up to a second.
const BUCKETS: [f64; 9] = [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.01, 0.05, 0.25, 1.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    policy: String,
    subject: &'static str,
}

/// The counters of a server's limits.
#[derive(Debug)]
pub(crate) struct Figures {
    allowed: Counter,
    limited: Family<Labels, Counter>,
    failures: Counter,
    errors: Counter,
    durations: Histogram,
}

impl Figures {
    /// Counters at zero, in this registry.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let figures = Self {
            allowed: Counter::default(),
            limited: Family::default(),
            failures: Counter::default(),
            errors: Counter::default(),
            durations: Histogram::new(BUCKETS),
        };
        registry.register(
            "evonic_limits_allowed",
            "Requests that found room in every quota",
            figures.allowed.clone(),
        );
        registry.register(
            "evonic_limits_limited",
            "Requests refused with 429, by the quota that was used up and what it counts",
            figures.limited.clone(),
        );
        registry.register(
            "evonic_limits_errors",
            "Requests that could not be counted",
            figures.errors.clone(),
        );
        registry.register(
            "evonic_limits_duration_seconds",
            "What counting a request took",
            figures.durations.clone(),
        );
        registry.register(
            "evonic_authentication_failures",
            "Keys that were presented and refused",
            figures.failures.clone(),
        );
        figures
    }

    /// Counts a key that was presented and refused.
    pub(crate) fn authentication_failed(&self) {
        self.failures.inc();
    }

    /// Counts a request that found room.
    pub(super) fn allowed(&self) {
        self.allowed.inc();
    }

    /// Counts a refusal.
    pub(super) fn limited(&self, policy: &Policy) {
        let labels = Labels { policy: policy.name.clone(), subject: policy.subject.name() };
        self.limited.get_or_create(&labels).inc();
    }

    /// Counts a request that could not be counted.
    pub(super) fn failed(&self) {
        self.errors.inc();
    }

    /// Notes what counting took.
    pub(super) fn took(&self, time: Duration) {
        self.durations.observe(time.as_secs_f64());
    }
}
