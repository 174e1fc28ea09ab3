//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-08): what is created once, however
//! often the request comes.
//!
//! The same key with the same request gets the stored answer, with another one 422 `key_reused`.
//! A request that comes while the first one is under way waits for its transaction, and finds the
//! answer: there is no 409.

use http::HeaderMap;
use sha2::{Digest, Sha256};

use crate::{caller::Caller, header, problem::Problem};
use evonic_store::RequestKey;

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

/// The request's name, where its client gave it one.
///
/// # Errors
/// 400 that names the header.
pub(super) fn request_key(
    headers: &HeaderMap,
    caller: &Caller,
    path: &[&str],
    body: &[u8],
) -> Result<Option<RequestKey>, Problem> {
    let Some(key) = idempotency_key(headers)? else { return Ok(None) };
    let mut fingerprint = Sha256::new();
    for part in path {
        fingerprint.update(part);
        fingerprint.update([0]);
    }
    fingerprint.update(body);
    let fingerprint = fingerprint.finalize().into();
    Ok(Some(RequestKey { owner: caller.identity.to_string(), key, fingerprint }))
}

/// A structured string as the draft has it, or the bare text.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
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
