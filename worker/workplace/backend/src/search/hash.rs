//! Hashes, computed where the file is.

use std::time::Duration;

use bytes::Bytes;

use super::{ask::Question, paths::argument};
use crate::{Result, spool::Shell};

/// How long one may take: some TiB on a slow disk. Whoever waits can stop earlier.
const TIMEOUT: Duration = Duration::from_secs(6 * 3600);

/// Bytes of what a tool says: the hash, and the name of its standard input.
const ANSWER_BYTES: usize = 1024;

/// Says nothing when there is no tool. The file is standard input, so that its name says nothing.
const SCRIPT: &str = r#"look "$1"
[ $k = 51 ] || exit $k
[ -r "$1" ] || exit 42
if command -v sha256sum >/dev/null 2>&1; then sha256sum <"$1"
elif command -v shasum >/dev/null 2>&1; then shasum -a 256 <"$1"
elif command -v openssl >/dev/null 2>&1; then openssl dgst -sha256 -r <"$1"
fi
"#;

/// SHA-256 of a file, by what that machine has (`sha256sum`, `shasum`, `openssl`); [`None`] when it
/// has none of these.
///
/// # Errors
/// [`crate::WorkplaceError`].
pub async fn sha256(shell: &dyn Shell, path: &str) -> Result<Option<String>> {
    let question = Question {
        operation: "hash",
        path,
        needed: "a regular file",
        script: SCRIPT,
        arguments: vec![argument(path)],
        input: Bytes::new(),
        timeout: TIMEOUT,
    };
    let answer = question.gather_in_time(shell, ANSWER_BYTES).await?;
    let hash = answer.get(..64).filter(|hash| hash.iter().all(u8::is_ascii_hexdigit));
    Ok(hash.map(|hash| String::from_utf8_lossy(hash).to_ascii_lowercase()))
}
