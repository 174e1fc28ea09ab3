//! When a host that failed is left alone. Pure: time is an argument.
//!
//! ```text
//!          failed < limit
//!         +------------+
//!         v            |
//!   --> Closed --------+-- failed = limit --> Open until T
//!         ^                                      | T passed: one try is admitted
//!         +------- succeeded, or refused ----- Trial (others wait for another pause)
//!                                                | failed: Open until T + pause
//! ```
//! Only transient errors open it. A permanent one is an answer: the host is there.

use std::time::{Duration, Instant};

use evonic_shared::error_chain::ErrorChain;

use evonic_backend::{Class, HostState, Result, WorkplaceError};

/// A circuit breaker: leaves a host alone that failed too often in a row. One for each target.
#[derive(Debug)]
pub(super) struct Breaker {
    limit: u32,
    pause: Duration,
    failures: u32,
    left_alone_until: Option<Instant>,
    last_error: Option<String>,
}

impl Breaker {
    /// Opens after `limit` transient failures in a row, for `pause`.
    pub(super) const fn new(limit: u32, pause: Duration) -> Self {
        Self { limit, pause, failures: 0, left_alone_until: None, last_error: None }
    }

    /// Asks whether the host may be tried now. Past the pause one caller may; the others wait for
    /// what it reports, or for another pause if it never does.
    ///
    /// # Errors
    /// [`WorkplaceError::LeftAlone`].
    pub(super) fn admit(&mut self, host: &str, now: Instant) -> Result<()> {
        match self.left_alone_until {
            Some(until) if now < until => Err(WorkplaceError::LeftAlone {
                host: host.to_owned(),
                failures: self.failures,
                seconds: whole_seconds(until - now),
            }),
            Some(_) => {
                self.left_alone_until = Some(now + self.pause);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// A try went well.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
        self.left_alone_until = None;
        self.last_error = None;
    }

    /// A try failed. A spent budget and [`WorkplaceError::LeftAlone`] say nothing about the host.
    pub(super) fn failed(&mut self, error: &WorkplaceError, now: Instant) {
        if matches!(error, WorkplaceError::Exhausted(_)) {
            // The host was not asked: the next one may.
            self.left_alone_until = self.left_alone_until.map(|until| until.min(now));
            return;
        }
        if matches!(error, WorkplaceError::LeftAlone { .. }) {
            return;
        }
        self.last_error = Some(ErrorChain(error).to_string());
        if error.class() == Class::Permanent {
            self.failures = 1;
            self.left_alone_until = None;
            return;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures >= self.limit {
            self.left_alone_until = Some(now + self.pause);
        }
    }

    /// For status and metrics.
    pub(super) fn state(&self, host: String, connections: u32, now: Instant) -> HostState {
        let left = self.left_alone_until.and_then(|until| until.checked_duration_since(now));
        HostState {
            host,
            connections,
            failures: self.failures,
            left_alone_seconds: left.filter(|left| !left.is_zero()).map(whole_seconds),
            last_error: self.last_error.clone(),
        }
    }
}

/// Rounded up: 0 would say "now".
fn whole_seconds(left: Duration) -> u64 {
    left.as_secs() + u64::from(left.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests;
