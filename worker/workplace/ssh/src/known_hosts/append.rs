//! Adds the key of a host that was not known.

use std::{
    fs::{DirBuilder, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
    time::Instant,
};

use base64::{Engine, engine::general_purpose};
use rustix::fs::FlockOperation;

use super::{Judgement, Key, Known, LIMIT_BYTES};

/// What became of a key that was to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Taken {
    /// It is there, added by this or by another process.
    Added,
    /// Another process added another key meanwhile.
    Changed,
}

/// Adds a key under a name, at the end of the file, which is made with its folder when missing.
/// Waits for other processes that do the same, until `deadline`. Either the whole line is added or nothing.
/// Holds one descriptor.
///
/// # Errors
/// The operating system's.
#[expect(clippy::disallowed_methods, reason = "waits for another process's lock, at most so long")]
pub(in super::super) fn append(
    file: &Path,
    name: &str,
    key: &Key,
    deadline: Instant,
) -> io::Result<Taken> {
    if let Some(folder) = file.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut open =
        OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(file)?;
    // No wait with a limit is offered for such a lock; it is held for two small writes.
    while let Err(errno) = rustix::fs::flock(&open, FlockOperation::NonBlockingLockExclusive) {
        if errno != rustix::io::Errno::WOULDBLOCK || Instant::now() >= deadline {
            return Err(errno.into());
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let mut bytes = Vec::new();
    (&mut open).take(LIMIT_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut known = Known::default();
    known.add(file, &text, name);
    match known.judge(key) {
        Judgement::New => {}
        Judgement::Known(_) => return Ok(Taken::Added),
        Judgement::Changed(_) | Judgement::Revoked(_) | Judgement::AuthorityOnly(_) => {
            return Ok(Taken::Changed);
        }
    }
    let before = open.seek(SeekFrom::End(0))?;
    let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let kind = key.kind().unwrap_or_default();
    let line = format!("{end}{name} {kind} {}\n", general_purpose::STANDARD.encode(&key.0));
    if let Err(error) = open.write_all(line.as_bytes()).and_then(|()| open.sync_data()) {
        // A torn line would be taken for no line, but the next one would be glued to it.
        open.set_len(before)?;
        return Err(error);
    }
    Ok(Taken::Added)
}
