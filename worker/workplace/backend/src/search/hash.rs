//! Hashes, computed where the file is.

use std::{ops::ControlFlow, time::Duration};

use bytes::Bytes;

use super::{
    ask::{Answered, Question},
    paths::argument,
};
use crate::{WorkplaceError, spool::Shell};

/// How long one may take: some TiB on a slow disk. Whoever waits can stop earlier.
const TIMEOUT: Duration = Duration::from_secs(6 * 3600);

/// Says nothing when there is no tool. The file is standard input, so that its name says nothing.
const SCRIPT: &str = r#"look "$1"
[ $k = 51 ] || exit $k
[ -r "$1" ] || exit 42
if command -v sha256sum >/dev/null 2>&1; then sha256sum <"$1"
elif command -v shasum >/dev/null 2>&1; then shasum -a 256 <"$1"
elif command -v openssl >/dev/null 2>&1; then openssl dgst -sha256 -r <"$1"
fi
"#;

/// See [`super::sha256`].
pub(super) async fn sha256<S: Shell>(
    shell: &S,
    path: &str,
) -> Result<Option<String>, WorkplaceError> {
    let question = Question {
        operation: "hash",
        path,
        needed: "a regular file",
        script: SCRIPT,
        arguments: vec![argument(path)],
        input: Bytes::new(),
        timeout: TIMEOUT,
    };
    let mut answer = Vec::new();
    let answered = question.ask(shell, |bytes| {
        let room = 64_usize.saturating_sub(answer.len());
        answer.extend_from_slice(&bytes[..bytes.len().min(room)]);
        ControlFlow::Continue(())
    });
    match answered.await? {
        Answered::OutOfTime => Err(Question::out_of_time("hash", path)),
        Answered::Whole | Answered::Enough => {
            let is_hash = answer.len() == 64 && answer.iter().all(u8::is_ascii_hexdigit);
            Ok(is_hash.then(|| String::from_utf8_lossy(&answer).to_ascii_lowercase()))
        }
    }
}
