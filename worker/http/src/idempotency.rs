//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-08).

use http::HeaderMap;

use crate::{header, problem::Problem};

/// What a route does with the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeats {
    /// Ignores it.
    RunAgain,
    /// The same key with the same request gets what the first one created.
    ByKey,
}

/// The longest key.
const KEY_BYTES: usize = 255;

/// The key that a request names: a structured string as the draft has it, or the bare text.
///
/// # Errors
/// 400 that names the header.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    const NAME: &str = "idempotency-key";
    let Some(value) = header::single(headers, NAME)? else { return Ok(None) };
    let key = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    if (1..=KEY_BYTES).contains(&key.len()) && key.bytes().all(plain) {
        return Ok(Some(key.to_owned()));
    }
    let detail = format!(
        "header '{NAME}' must be 1 to {KEY_BYTES} visible characters without quote or backslash"
    );
    Err(Problem::malformed(NAME, detail))
}
