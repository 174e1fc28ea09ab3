//! Sizes by environment variable, and tables of figures.

use std::{fmt::Display, time::Duration};

/// A size: `EVONIC_SIZE_NAME` where it is set, else `full` under `EVONIC_FULL=1` (`make bench`,
/// `make chaos`), else `small` (`make test`).
///
/// # Panics
/// When the variable is no number.
#[must_use]
pub fn of(name: &str, small: u64, full: u64) -> u64 {
    let variable = format!("EVONIC_SIZE_{}", name.to_uppercase());
    match std::env::var(&variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")),
        Err(_) if is_full() => full,
        Err(_) => small,
    }
}

/// Whether sizes are those of `make bench` and `make chaos`.
#[must_use]
pub fn is_full() -> bool {
    std::env::var_os("EVONIC_FULL").is_some_and(|value| value == "1")
}

/// Prints one figure of a benchmark: what, how much, in which unit.
pub fn figure(what: &str, value: impl Display, unit: &str) {
    println!("  {what:<58} {value:>12} {unit}");
}

/// The value at a quantile (0 to 1) of unsorted samples.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn quantile(samples: &mut [Duration], at: f64) -> Duration {
    assert!(!samples.is_empty(), "a quantile needs a sample");
    samples.sort_unstable();
    let last = samples.len() - 1;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index between 0 and last"
    )]
    samples[((last as f64) * at).round() as usize]
}

/// Milliseconds with two decimals.
#[must_use]
pub fn ms(duration: Duration) -> String {
    format!("{:.2}", duration.as_secs_f64() * 1e3)
}
