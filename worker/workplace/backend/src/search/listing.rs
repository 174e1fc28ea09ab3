//! Entries of a folder.

use std::{cmp::Ordering, time::Duration};

use bytes::Bytes;

use super::{ask::Question, paths::argument};
use crate::{Entry, FileType, Result, spool::Shell};

/// How long a list may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Bytes of an entry that are expected at the most: a path (`PATH_MAX`) and what stands before it.
const ENTRY_BYTES: usize = 4096 + HEADER_BYTES;

/// Bytes of a list that are taken.
const LIST_BYTES: usize = 8 * 1024 * 1024;

/// Bytes of what stands before a path: a mode, a size.
const HEADER_BYTES: usize = 64;

/// The first `$3` entries of the folder `$1`, down to `$2` levels, in the order of their parts:
/// slashes sort before everything else by changing places with byte 1. NUL and newline change
/// places for `head`, which counts lines. Each entry is listed as `MODE SIZE //./PATH`; `//` stands
/// nowhere else, whatever names there are.
const SCRIPT: &str = r#"look "$1"
[ $k = 52 ] || exit $k
cd "$1" 2>/dev/null && [ -r . ] || exit 42
need find sort tr head xargs stat
find . -mindepth 1 -maxdepth "$2" -print0 2>/dev/null | tr '/\001' '\001/' | sort -z |
    tr '\000\n\001/' '\n\000/\001' | head -n "$3" | tr '\000\n' '\n\000' |
    xargs -0 -r stat -c '%f %s //%n' 2>/dev/null
exit 0
"#;

/// See [`super::super::Backend::list`]; `folder` is a path on that machine.
///
/// # Errors
/// [`crate::WorkplaceError`].
pub async fn list(
    shell: &dyn Shell,
    folder: &str,
    depth: u32,
    limit: u32,
) -> Result<(Vec<Entry>, bool)> {
    let asked_for = u64::from(limit) + 1;
    let question = Question {
        operation: "list",
        path: folder,
        needed: "a folder",
        script: SCRIPT,
        arguments: vec![argument(folder), depth.max(1).to_string(), asked_for.to_string()],
        input: Bytes::new(),
        timeout: TIMEOUT,
    };
    let most = (limit as usize + 1).saturating_mul(ENTRY_BYTES).min(LIST_BYTES);
    let answer = question.gather_in_time(shell, most).await?;
    let mut listed: Vec<_> = entries(&answer).take(limit as usize + 1).collect();
    listed.sort_by(|a, b| by_parts(a.path, b.path));
    let more = listed.len() as u64 > u64::from(limit);
    listed.truncate(limit as usize);
    Ok((listed.iter().map(Listed::entry).collect(), more))
}

/// Decodes an answer, for the fuzzer.
pub(super) fn decoded(answer: &[u8]) {
    for listed in entries(answer) {
        let _entry = listed.entry();
    }
}

/// The order of paths: part by part.
pub(super) fn by_parts(a: &[u8], b: &[u8]) -> Ordering {
    a.split(|byte| *byte == b'/').cmp(b.split(|byte| *byte == b'/'))
}

struct Listed<'s> {
    path: &'s [u8],
    mode: u32,
    size_bytes: u64,
}

impl Listed<'_> {
    fn entry(&self) -> Entry {
        let file_type = FileType::from_mode(self.mode);
        let size_bytes = if file_type == FileType::File { self.size_bytes } else { 0 };
        Entry { path: String::from_utf8_lossy(self.path).into_owned(), file_type, size_bytes }
    }
}

/// The entries in what `stat` wrote. A name may contain anything but `//`, which therefore marks
/// where one begins; its header stands before that, on a line of its own.
fn entries(answer: &[u8]) -> impl Iterator<Item = Listed<'_>> {
    let marks = answer.windows(2).enumerate().filter(|(_, two)| two == b"//").map(|(at, _)| at);
    let mut marks = marks.peekable();
    std::iter::from_fn(move || {
        let mark = marks.next()?;
        // The newline before the next header ends this name.
        let end = marks.peek().map_or(answer.len(), |next| header(answer, *next));
        Some(entry(answer, mark, end.max(mark + 2)))
    })
    .flatten()
}

/// Where the header before a mark begins.
fn header(answer: &[u8], mark: usize) -> usize {
    let from = mark.saturating_sub(HEADER_BYTES);
    answer[from..mark].iter().rposition(|byte| *byte == b'\n').map_or(from, |at| from + at + 1)
}

fn entry(answer: &[u8], mark: usize, end: usize) -> Option<Listed<'_>> {
    let name = answer[mark + 2..end].strip_suffix(b"\n")?;
    let header = str::from_utf8(&answer[header(answer, mark)..mark]).ok()?;
    let mut fields = header.split_ascii_whitespace();
    let mode = u32::from_str_radix(fields.next()?, 16).ok()?;
    let size_bytes = fields.next()?.parse().ok()?;
    Some(Listed { path: name.strip_prefix(b"./").unwrap_or(name), mode, size_bytes })
}
