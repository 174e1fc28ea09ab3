//! When an endpoint asks to come back: headers of several conventions, or its words.

use std::time::Duration;

use http::HeaderMap;
use jiff::Timestamp;

/// Reset headers: when a limit begins anew that nothing is left of. Those of one kind end alike.
const RESETS: [&str; 8] = [
    "x-ratelimit-reset-requests",
    "x-ratelimit-reset-tokens",
    "anthropic-ratelimit-requests-reset",
    "anthropic-ratelimit-tokens-reset",
    "anthropic-ratelimit-input-tokens-reset",
    "anthropic-ratelimit-output-tokens-reset",
    "x-ratelimit-reset",
    "ratelimit-reset",
];

/// A number of seconds from this on is a time since 1970, and of milliseconds from the other.
const SECONDS_OF_TIMES: f64 = 1e9;
const MILLIS_OF_TIMES: f64 = 1e12;

/// Units, the longer of two that begin alike first.
const UNITS: [(&str, f64); 5] =
    [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86_400.0)];

/// When to come back by an answer's headers: what `Retry-After` says, else the latest reset of a
/// limit that is spent.
pub(super) fn in_headers(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let millis = text("retry-after-ms").and_then(|text| seconds(text.parse().ok()?, 1e-3));
    if let Some(after) = millis.or_else(|| retry_after(text("retry-after")?, now)) {
        return Some(after);
    }
    let spent = |name: &&&str| {
        let remaining = name.replace("reset", "remaining");
        text(&remaining).is_none_or(|left| left.parse::<f64>().is_ok_and(|left| left < 1.0))
    };
    let resets = RESETS.iter().filter(spent).filter_map(|name| reset(text(name)?, now));
    resets.max().or_else(|| structured(text("ratelimit")?))
}

/// Seconds, also a fraction, or a date (RFC 9110, section 10.2.3).
fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    match text.parse() {
        Ok(number) => seconds(number, 1.0),
        Err(_) => {
            let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
            Some(until(date, now))
        }
    }
}

/// Seconds, a time since 1970, RFC 3339, or units such as `6m0s`.
fn reset(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(number) = text.parse::<f64>() {
        let factor = if number >= MILLIS_OF_TIMES { 1e-3 } else { 1.0 };
        let at = seconds(number, factor)?;
        if number < SECONDS_OF_TIMES {
            return Some(at);
        }
        let since = Duration::try_from(now.duration_since(Timestamp::UNIX_EPOCH)).ok()?;
        return Some(at.saturating_sub(since));
    }
    match text.parse::<Timestamp>() {
        Ok(at) => Some(until(at, now)),
        Err(_) => units(text),
    }
}

/// `"burst";r=0;t=30`, the seconds until the quota is there again.
fn structured(text: &str) -> Option<Duration> {
    let parameter = |name: &str| {
        let mut parameters = text.split([';', ',']).map(str::trim);
        parameters.find_map(|parameter| parameter.strip_prefix(name)?.parse::<f64>().ok())
    };
    (parameter("r=")? < 1.0).then(|| seconds(parameter("t=")?, 1.0))?
}

/// `try again in 20s`, `retry in 34.07s`, `try again in 6m0s`, of a message in lower case.
pub(super) fn in_words(message: &str) -> Option<Duration> {
    ["try again in ", "retry in ", "retry after "].iter().find_map(|phrase| {
        let rest = message.split_once(phrase)?.1;
        units(rest).or_else(|| {
            let number = rest.split(' ').next()?.parse().ok()?;
            rest.split(' ').nth(1)?.starts_with("second").then(|| seconds(number, 1.0))?
        })
    })
}

/// Numbers with units at the beginning of a text, added up.
fn units(mut text: &str) -> Option<Duration> {
    let mut sum = None;
    for _ in 0..UNITS.len() {
        let Some((one, rest)) = unit(text) else { break };
        sum = Some(sum.unwrap_or(Duration::ZERO).saturating_add(one));
        text = rest;
    }
    sum
}

/// A number with its unit at the beginning of a text, and what follows.
fn unit(text: &str) -> Option<(Duration, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let number: f64 = text[..digits].parse().ok()?;
    let (factor, rest) = UNITS
        .iter()
        .find_map(|(unit, factor)| Some((factor, text[digits..].strip_prefix(unit)?)))?;
    let ends = !rest.starts_with(|c: char| c.is_ascii_alphabetic());
    ends.then(|| Some((seconds(number, *factor)?, rest)))?
}

fn seconds(number: f64, factor: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(number * factor).ok()
}

fn until(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn after(headers: &[(&'static str, &'static str)]) -> Option<f64> {
        let now: Timestamp = "2026-11-23T20:00:00Z".parse().unwrap();
        let headers = headers.iter().map(|(name, value)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        });
        in_headers(&headers.collect(), now).map(|after| after.as_secs_f64())
    }

    #[test]
    fn what_is_asked_for_is_read_in_every_convention() {
        for (headers, expected) in [
            (&[("retry-after", "7")][..], Some(7.0)),
            (&[("retry-after", " 0 ")], Some(0.0)),
            (&[("retry-after", "1.5")], Some(1.5)),
            (&[("retry-after", "Mon, 23 Nov 2026 20:01:30 GMT")], Some(90.0)),
            (&[("retry-after", "Mon, 23 Nov 2026 19:00:00 GMT")], Some(0.0)),
            (&[("retry-after-ms", "250"), ("retry-after", "1")], Some(0.25)),
            (&[("x-ratelimit-reset-requests", "6m0s")], Some(360.0)),
            (&[("x-ratelimit-reset-tokens", "120ms"), ("x-ratelimit-remaining-tokens", "0")], Some(0.12)),
            (&[("x-ratelimit-reset-tokens", "9s"), ("x-ratelimit-remaining-tokens", "500")], None),
            (&[("anthropic-ratelimit-requests-reset", "2026-11-23T20:00:30Z")], Some(30.0)),
            (&[("x-ratelimit-reset", "1795464010")], Some(10.0)),
            (&[("x-ratelimit-reset", "1795464010000")], Some(10.0)),
            (&[("ratelimit-reset", "12")], Some(12.0)),
            (&[("ratelimit", "\"burst\";r=0;t=30")], Some(30.0)),
            (&[("ratelimit", "\"burst\";r=5;t=30")], None),
            (&[("retry-after", "soon")], None),
            (&[("retry-after", "-1")], None),
            (&[("retry-after", "1e300")], None),
            (&[("retry-after", "NaN")], None),
            (&[], None),
        ] {
            assert_eq!(after(headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn words_tell_it_too() {
        for (message, millis) in [
            ("please try again in 20s.", Some(20_000)),
            ("please retry in 34.07s", Some(34_070)),
            ("try again in 6m0s. visit", Some(360_000)),
            ("try again in 250ms", Some(250)),
            ("retry after 5 seconds", Some(5_000)),
            ("try again in a moment", None),
            ("try again later", None),
        ] {
            assert_eq!(in_words(message).map(|after| after.as_millis()), millis, "{message}");
        }
    }
}
