//! A text within a string of JSON.

/// Passes on what a text is within a string, in pieces.
pub(super) fn escape(mut rest: &[u8], mut push: impl FnMut(&[u8])) {
    while let Some(place) = rest.iter().position(|b| matches!(b, b'"' | b'\\' | 0..=0x1f)) {
        push(&rest[..place]);
        match rest[place] {
            b'"' => push(b"\\\""),
            b'\\' => push(b"\\\\"),
            b'\n' => push(b"\\n"),
            b'\r' => push(b"\\r"),
            b'\t' => push(b"\\t"),
            control => push(format!("\\u{control:04x}").as_bytes()),
        }
        rest = &rest[place + 1..];
    }
    push(rest);
}

/// The length of a text within a string.
pub(crate) fn escaped_length(text: &[u8]) -> u64 {
    let mut length = 0;
    escape(text, |bytes| length += bytes.len() as u64);
    length
}
