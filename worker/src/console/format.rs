//! Numbers, times and sizes as people read them.

use std::fmt::Display;

use evonic_domain::Usage;
use jiff::{Timestamp, tz::TimeZone};

/// A duration, with the two units that matter.
pub(super) fn duration(seconds: f64) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    if seconds < 0.9995 {
        return format!("{:.0} ms", (seconds * 1000.0).max(0.0));
    }
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and saturates"
    )]
    let whole = seconds.round() as u64;
    let two = |count: u64, unit, rest: u64, small| match rest {
        0 => format!("{count} {unit}"),
        rest => format!("{count} {unit} {rest} {small}"),
    };
    match whole {
        ..MINUTE => format!("{whole} s"),
        MINUTE..HOUR => two(whole / MINUTE, "min", whole % MINUTE, "s"),
        HOUR..DAY => two(whole / HOUR, "h", whole % HOUR / MINUTE, "min"),
        DAY.. => two(whole / DAY, "d", whole % DAY / HOUR, "h"),
    }
}

/// Bytes with a binary unit.
#[expect(clippy::cast_precision_loss, reason = "one digit after the point is shown")]
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = UNITS[0];
    for larger in &UNITS[1..] {
        if value < 1023.95 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    format!("{value:.1} {unit}")
}

/// A time of the API (RFC 3339) in this time zone, to the second; as it is when it is none.
pub(super) fn local_time(at: &str, zone: &TimeZone) -> String {
    match at.parse::<Timestamp>() {
        Ok(time) => time.to_zoned_datetime(zone.clone()).strftime("%F %T").to_string(),
        Err(_) => at.to_owned(),
    }
}

/// How long ago a time of the API is.
pub(super) fn ago(at: &str, now: Timestamp) -> Option<String> {
    let seconds = now.duration_since(at.parse().ok()?).as_secs_f64();
    (seconds >= 0.0).then(|| format!("{} ago", duration(seconds)))
}

/// Pico-units as a decimal number, rounded to 6 decimals, of which 4 are shown at the least.
pub(super) fn cost(pico: u64) -> String {
    let micro = pico.saturating_add(500_000) / 1_000_000;
    let decimals = format!("{:06}", micro % 1_000_000);
    let shown = decimals.trim_end_matches('0').len().max(4);
    format!("{}.{}", micro / 1_000_000, &decimals[..shown])
}

/// Tokens and their cost, short; nothing where none were counted.
pub(super) fn usage(usage: &Usage, pico: u64) -> Option<String> {
    let Usage { input_tokens, output_tokens, .. } = usage;
    let cost = if pico > 0 { format!(", cost {}", cost(pico)) } else { String::new() };
    (usage.tokens() > 0)
        .then(|| format!("{input_tokens} tokens in, {output_tokens} tokens out{cost}"))
}

/// `1 agent`, `2 agents`.
pub(super) fn count<N: Display + PartialEq + From<u8>>(number: N, noun: &str) -> String {
    if number == N::from(1) { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_the_two_units_that_matter() {
        for (seconds, expected) in [
            (-1.0, "0 ms"),
            (0.0, "0 ms"),
            (0.0124, "12 ms"),
            (0.9999, "1.0 s"),
            (9.94, "9.9 s"),
            (9.96, "10 s"),
            (59.6, "1 min"),
            (61.0, "1 min 1 s"),
            (3600.0, "1 h"),
            (3725.0, "1 h 2 min"),
            (86_400.0 * 3.5, "3 d 12 h"),
            (f64::MAX, "213503982334601 d 7 h"),
        ] {
            assert_eq!(duration(seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn bytes_have_one_digit_after_the_point() {
        for (number, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1024 * 1024 - 1, "1.0 MiB"),
            (40_055_603, "38.2 MiB"),
            (u64::MAX, "16777216.0 TiB"),
        ] {
            assert_eq!(bytes(number), expected, "{number}");
        }
    }
}
