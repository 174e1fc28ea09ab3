//! Texts that have broken servers before.

use fastrand::Rng;

/// None begins with `/` or `$`: no test writes outside of its folder or runs what it made up.
const ODD: &[&str] = &[
    "",
    " ",
    "\t\r\n",
    "a",
    "A",
    "-",
    "_",
    ".",
    "..",
    "../../../../etc/passwd",
    "%00",
    "%2e%2e%2f",
    "%ff%fe",
    "%",
    "a\0b",
    "\u{7f}",
    "\u{85}",
    "\u{202e}drow",
    "ä",
    "e\u{301}",
    "日本語",
    "👩‍👩‍👧‍👦",
    "\u{10ffff}",
    "'",
    "\"",
    "\\",
    "' OR 1=1 --",
    "; DROP TABLE agents",
    "<script>alert(1)</script>",
    "{{7*7}}",
    "null",
    "true",
    "NaN",
    "-1",
    "0",
    "1e999",
    "18446744073709551616",
    "local",
    "runbook",
    "ses_",
    "ses_00000000000070008000000000000000",
    "agt_FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
];

/// One of them, now and then a long one.
pub(super) fn odd(rng: &mut Rng) -> String {
    let word = rng.choice(ODD).copied().unwrap_or_default();
    match rng.u8(..) {
        0..=3 => "x".repeat(rng.usize(200..70_000)),
        4..=7 => "ü".repeat(rng.usize(60..5000)),
        8..=15 => format!("{word}{word}"),
        _ => word.to_owned(),
    }
}

/// A word without white space, as names have them.
pub(super) fn plain(rng: &mut Rng) -> String {
    let letters = b"abcdefghijklmnopqrstuvwxyz0123456789-";
    let mut word = String::from(char::from(letters[rng.usize(..36)]));
    for _ in 0..rng.usize(..12) {
        word.push(char::from(letters[rng.usize(..letters.len())]));
    }
    word
}

/// A text as it stands in a path or a query.
pub(super) fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect()
}
