//! The policy on a virtual clock.
//!
//! Every test drives it through [`Script`], which holds each step against the invariants that
//! [`observer`] names.

use std::time::Duration;

use evonic_shared::config::{Config, Fd};

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

/// The defaults of the configuration, with a smaller budget's limits.
fn settings() -> Settings {
    let config = Config::defaults("/state".into(), "/run".into());
    let Settings { fd, supervisor } = Settings::from(&config);
    Settings { fd: Fd { threshold: 400, ceiling: 1600, ..fd }, supervisor }
}

fn settings_with(change: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = settings();
    change(&mut settings);
    settings
}
