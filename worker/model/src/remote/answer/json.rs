//! JSON of endpoints, mended where it can be.

use std::borrow::Cow;

use evonic_domain::value_count;
use serde_json::Value;

use super::Failure;

/// The most values of a chunk: built, a value takes many times the bytes of its text.
const MAX_VALUES: usize = 65_536;

pub(super) fn read(json: &str) -> Result<Value, Failure> {
    check_values(json.as_bytes())?;
    let mended = mend_surrogates(json);
    serde_json::from_str(&mended).map_err(|error| Failure::protocol(error.to_string()))
}

pub(super) fn read_whole(json: &[u8]) -> Result<Value, Failure> {
    check_values(json)?;
    let text = String::from_utf8_lossy(json);
    serde_json::from_str(&mend_surrogates(&text)).map_err(|error| {
        if error.is_eof() {
            return Failure::transient("the answer ended within its JSON");
        }
        let lines = text.lines().filter(|line| line.starts_with('{')).count();
        let hint = match lines > 1 && error.to_string().starts_with("trailing") {
            true => {
                "; it sends a JSON object a line, as Ollama's own API does: is base_url its /v1?"
            }
            false => "",
        };
        Failure::protocol(format!("{error}{hint}"))
    })
}

/// JSON in which an escaped half of a surrogate pair, which no text can hold, is a replacement
/// character (RFC 8259, section 8.2).
fn mend_surrogates(json: &str) -> Cow<'_, str> {
    if !json.contains("\\ud") && !json.contains("\\uD") {
        return Cow::Borrowed(json);
    }
    let unit = |place: usize| {
        let digits = json.as_bytes().get(place..place + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let (mut mended, mut copied, mut place) = (String::new(), 0, 0);
    while let Some(found) = json[place..].find('\\').map(|at| place + at) {
        place = match (unit(found), unit(found + 6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => found + 12,
            (Some(0xd800..=0xdfff), _) => {
                mended.push_str(&json[copied..found]);
                mended.push_str("\\ufffd");
                copied = found + 6;
                copied
            }
            // The character behind a backslash may be a backslash itself, and is never split.
            _ => found + 1 + json[found + 1..].chars().next().map_or(0, char::len_utf8),
        };
    }
    mended.push_str(&json[copied..]);
    Cow::Owned(mended)
}

fn check_values(json: &[u8]) -> Result<(), Failure> {
    if value_count(json) > MAX_VALUES {
        return Err(Failure::protocol(format!("a chunk of more than {MAX_VALUES} values")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_surrogate_pair_costs_nothing() {
        for (json, text) in [
            (r#""a\ud83d\ude00b""#, "a😀b"),
            (r#""a\ud83d""#, "a\u{fffd}"),
            (r#""\ude00b""#, "\u{fffd}b"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
            (r#""\\ud83d""#, "\\ud83d"),
            (r#""ü\\\ud83dü""#, "ü\\\u{fffd}ü"),
        ] {
            assert_eq!(read(json).unwrap(), Value::String(text.to_owned()), "{json}");
        }
    }
}
