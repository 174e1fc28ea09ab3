//! The text of a moment: RFC 3339, UTC, milliseconds. Pure: the caller reads the clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The last second of the year 9999: RFC 3339 has no later one.
const LAST: Duration = Duration::from_secs(253_402_300_799);

/// RFC 3339, UTC, milliseconds: `2026-11-03T12:30:05.120Z`.
pub fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time.clamp(UNIX_EPOCH, UNIX_EPOCH + LAST)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64, millis: u64) -> String {
        rfc3339(UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(millis))
    }

    #[test]
    fn known_moments() {
        assert_eq!(at(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_399, 999), "2000-02-28T23:59:59.999Z");
        assert_eq!(at(951_782_400, 0), "2000-02-29T00:00:00.000Z");
        assert_eq!(at(951_868_800, 1), "2000-03-01T00:00:00.001Z");
        assert_eq!(at(1_794_000_605, 120), "2026-11-06T21:30:05.120Z");
        assert_eq!(at(4_102_444_799, 0), "2099-12-31T23:59:59.000Z");
        assert_eq!(at(4_107_542_400, 0), "2100-03-01T00:00:00.000Z");
        assert_eq!(at(u64::from(u32::MAX) * 100, 0), "9999-12-31T23:59:59.000Z");
        assert_eq!(rfc3339(UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn every_day_of_four_centuries_follows_the_one_before() {
        let civil = |day: u64| {
            let text = at(day * 86_400, 0);
            let number = |digits: std::ops::Range<usize>| text[digits].parse::<u64>().unwrap();
            (number(0..4), number(5..7), number(8..10))
        };
        let mut last = civil(0);
        for day in 1..=146_097 * 2 {
            let (year, month, number) = civil(day);
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let days = [31, 28 + u64::from(leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            assert!((1..=12).contains(&month) && (1..=days[month as usize - 1]).contains(&number));
            let next_day = (year, month) == (last.0, last.1) && number == last.2 + 1;
            let next_month = number == 1
                && ((year, month) == (last.0, last.1 + 1)
                    || (year, month, last.1) == (last.0 + 1, 1, 12));
            assert!(next_day || next_month, "{last:?} then {:?}", (year, month, number));
            last = (year, month, number);
        }
    }
}
