//! Sizes by environment variable, and printed measurements.

use std::{fmt::Display, time::Duration};

/// A size: `EVONIC_SIZE_NAME` where it is set, else by `EVONIC_SIZE`: `full` (`make bench`,
/// `make chaos`), a fifth of `usual` for `small` (`make bench SIZE=small`), or `usual` (`make test`).
///
/// # Panics
/// When a variable has no such value.
#[must_use]
pub fn of(name: &str, usual: u64, full: u64) -> u64 {
    let variable = format!("EVONIC_SIZE_{}", name.to_uppercase());
    if let Ok(text) = std::env::var(&variable) {
        return text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}"));
    }
    match std::env::var("EVONIC_SIZE").as_deref() {
        Ok("full") => full,
        Ok("small") => usual.div_ceil(5),
        Ok(other) => panic!("EVONIC_SIZE is full or small, not {other}"),
        Err(_) => usual,
    }
}

/// Whether sizes are those of `make bench` and `make chaos`.
#[must_use]
pub fn is_full() -> bool {
    std::env::var("EVONIC_SIZE").is_ok_and(|size| size == "full")
}

/// Prints one measurement of a benchmark: what, how much, in which unit.
pub fn report(what: &str, value: impl Display, unit: &str) {
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
