//! The policy on a virtual clock.
//!
//! Every test drives it through [`Script`], which holds each step against the invariants that
//! [`observer`] names.

use std::time::Duration;

use super::{Instant, Settings};

mod growth;
mod leaks;
mod observer;
mod random;
mod script;
mod simulator;
mod table;

use self::script::Script;

const fn ms(millis: u64) -> Instant {
    Duration::from_millis(millis)
}

const fn s(seconds: u64) -> Instant {
    Duration::from_secs(seconds)
}

/// The defaults of the configuration.
fn settings() -> Settings {
    Settings {
        threshold: 400,
        ceiling: 1600,
        unexplained: 64,
        min_interval: ms(20),
        max_interval: s(2),
        grace: s(10),
        start_timeout: s(10),
        heartbeat_timeout: s(4),
        accept_stall: s(2),
        backoff_base: ms(100),
        backoff_cap: s(30),
        stable_after: s(30),
        crash_loop_after: 5,
    }
}
