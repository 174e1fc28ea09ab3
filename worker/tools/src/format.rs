//! Counts and sizes as people read them.

/// `12,345,678`.
pub(crate) fn count(number: u64) -> String {
    let digits: Vec<_> = number.to_string().chars().rev().collect();
    let groups: Vec<String> = digits.chunks(3).map(String::from_iter).collect();
    groups.join(",").chars().rev().collect()
}

/// `512 bytes`, `64 KiB`, `1.4 MiB`: rounded, for people.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.into_iter().find(|&(_, unit)| bytes >= unit) {
        None if bytes == 1 => "1 byte".to_owned(),
        None => format!("{bytes} bytes"),
        Some((name, unit)) => {
            let tenths = (u128::from(bytes) * 10 + u128::from(unit) / 2) / u128::from(unit);
            match tenths % 10 {
                0 => format!("{} {name}", tenths / 10),
                tenth => format!("{}.{tenth} {name}", tenths / 10),
            }
        }
    }
}

/// `1 line`, `2,000 lines`.
pub(crate) fn plural(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// A path on one line, whatever is in it.
pub(crate) fn path(path: &str) -> String {
    if path.chars().any(char::is_control) { format!("{path:?}") } else { path.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::{bytes, count, plural};

    #[test]
    fn counts_have_a_comma_every_three_digits() {
        let shown = [0, 12, 999, 1_000, 12_345_678].map(count);
        assert_eq!(shown, ["0", "12", "999", "1,000", "12,345,678"]);
    }

    #[test]
    fn sizes_have_a_unit_and_at_most_one_decimal() {
        let shown = [0, 1, 1023, 1024, 65_536, 1_468_006, u64::MAX].map(bytes);
        let expected =
            ["0 bytes", "1 byte", "1023 bytes", "1 KiB", "64 KiB", "1.4 MiB", "17179869184 GiB"];
        assert_eq!(shown, expected);
    }

    #[test]
    fn one_is_no_plural() {
        assert_eq!(
            [plural(1, "line", "lines"), plural(5_020, "line", "lines")],
            ["1 line", "5,020 lines"]
        );
    }
}
