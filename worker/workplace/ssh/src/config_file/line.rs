//! One line: a keyword and its values.

use std::time::Duration;

/// Splits a line into its keyword, in small letters, and its values: `Keyword value "va lue"`,
/// `Keyword = value`. [`None`] for a line that says nothing.
///
/// # Errors
/// What is wrong with it.
pub(super) fn split(line: &str) -> Result<Option<(String, Vec<String>)>, &'static str> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let end = line.find(|c: char| c.is_ascii_whitespace() || c == '=').unwrap_or(line.len());
    let (keyword, rest) = line.split_at(end);
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    Ok(Some((keyword.trim_matches('"').to_ascii_lowercase(), values(rest)?)))
}

/// Values are separated by white space; quotes of both kinds keep it, and a backslash keeps a
/// quote, a backslash or, outside quotes, a space. `#` at the beginning of a value ends the line.
fn values(text: &str) -> Result<Vec<String>, &'static str> {
    let mut values = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(char::is_ascii_whitespace).is_some() {}
        if matches!(chars.peek(), None | Some('#')) {
            return Ok(values);
        }
        let (mut value, mut quote) = (String::new(), None);
        while let Some(&c) = chars.peek() {
            if quote.is_none() && c.is_ascii_whitespace() {
                break;
            }
            chars.next();
            match c {
                '\\' => {
                    let kept = |next: &char| {
                        matches!(next, '"' | '\'' | '\\') || (*next == ' ' && quote.is_none())
                    };
                    value.push(chars.next_if(kept).unwrap_or('\\'));
                }
                '"' | '\'' if quote.is_none() => quote = Some(c),
                _ if quote == Some(c) => quote = None,
                _ => value.push(c),
            }
        }
        if quote.is_some() {
            return Err("a quote is not closed");
        }
        values.push(value);
    }
}

/// A time of `sshd_config(5)`, TIME FORMATS: `90`, `1m30s`; [`Some`] of [`None`] for `none`.
pub(super) fn seconds(text: &str) -> Option<Option<Duration>> {
    if text.eq_ignore_ascii_case("none") {
        return Some(None);
    }
    let (mut total, mut number) = (0_u64, None::<u64>);
    for c in text.chars() {
        if let Some(digit) = c.to_digit(10) {
            let before = number.unwrap_or(0).checked_mul(10)?;
            number = Some(before.checked_add(digit.into())?);
            continue;
        }
        let unit = match c.to_ascii_lowercase() {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return None,
        };
        total = total.checked_add(number.take()?.checked_mul(unit)?)?;
    }
    total = total.checked_add(number.unwrap_or(0))?;
    (total > 0).then(|| Some(Duration::from_secs(total)))
}
