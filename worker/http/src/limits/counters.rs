//! Metrics of the limits; no label holds an address or a key.

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

#[derive(Debug)]
pub(super) struct Counters {
    pub(super) allowed: Counter,
    limited: Family<Labels, Counter>,
    /// Keys that were presented and refused.
    pub(super) failures: Counter,
    pub(super) errors: Counter,
    pub(super) durations: Histogram,
}

impl Counters {
    /// At zero, in this registry.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let counters = Self {
            allowed: Counter::default(),
            limited: Family::default(),
            failures: Counter::default(),
            errors: Counter::default(),
            durations: Histogram::new(BUCKETS),
        };
        registry.register(
            "evonic_limits_allowed",
            "Requests that found room in every quota",
            counters.allowed.clone(),
        );
        registry.register(
            "evonic_limits_limited",
            "Requests refused with 429, by the quota that was used up and what it counts",
            counters.limited.clone(),
        );
        registry.register(
            "evonic_limits_errors",
            "Requests that could not be counted",
            counters.errors.clone(),
        );
        registry.register(
            "evonic_limits_duration_seconds",
            "What counting a request took",
            counters.durations.clone(),
        );
        registry.register(
            "evonic_authentication_failures",
            "Keys that were presented and refused",
            counters.failures.clone(),
        );
        counters
    }

    pub(super) fn limited(&self, policy: &Policy) {
        let labels = Labels { policy: policy.name.clone(), subject: policy.subject.name() };
        self.limited.get_or_create(&labels).inc();
    }
}
