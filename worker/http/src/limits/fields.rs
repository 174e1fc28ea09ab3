//! What clients see: `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers
//! 10) as structured fields (RFC 9651), and the refusal.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::policy::Policy;
use crate::problem::Problem;

const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Where a client stands with one quota.
#[derive(Clone, Debug)]
pub(super) struct MeterState<'a> {
    /// The quota.
    pub(super) policy: &'a Policy,
    /// How many more requests have room now.
    pub(super) remaining: u32,
    /// How long until one more has; none when the whole quota is free.
    pub(super) refill: Option<Duration>,
}

/// Refuses a request because of these quotas. Of the fields it names no other: `Retry-After` is then
/// never before any moment that is named.
pub(super) fn refuse(states: &[MeterState<'_>]) -> Problem {
    let names: Vec<&str> = states.iter().map(|state| state.policy.name.as_str()).collect();
    let seconds = states.iter().filter_map(MeterState::seconds).max().unwrap_or(1);
    Problem::quota_exceeded(&names, Duration::from_secs(seconds))
}

impl MeterState<'_> {
    /// Whole seconds until there is room for one more, never too few.
    fn seconds(&self) -> Option<u64> {
        self.refill.map(|refill| refill.as_secs() + u64::from(refill.subsec_nanos() > 0))
    }

    fn policy(&self) -> String {
        let (name, quota) = (&self.policy.name, self.policy.quota);
        format!("\"{name}\";q={};w={}", quota.requests(), quota.seconds())
    }

    fn level(&self) -> String {
        let (name, remaining) = (&self.policy.name, self.remaining);
        let reset = self.seconds().map(|seconds| format!(";t={seconds}")).unwrap_or_default();
        format!("\"{name}\";r={remaining}{reset}")
    }
}

/// Adds the fields of these quotas to those of an answer; none for an empty slice.
pub(super) fn announce(states: &[MeterState<'_>], fields: &mut HeaderMap) {
    if !states.is_empty() {
        fields.insert(RATELIMIT_POLICY, list(states.iter().map(MeterState::policy)));
        fields.insert(RATELIMIT, list(states.iter().map(MeterState::level)));
    }
}

fn list(items: impl Iterator<Item = String>) -> HeaderValue {
    let list = items.collect::<Vec<_>>().join(", ");
    HeaderValue::try_from(list).expect("names of policies are ASCII without quotes")
}
