//! Entries of a folder.

use std::{cmp::Ordering, time::Duration};

use bytes::Bytes;

use super::{ask::Question, paths::argument};
use crate::{Entry, FileType, Result, spool::Shell};

/// How long a list may take.
const TIMEOUT: Duration = Duration::from_secs(60);

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
    let answer = question.gather_in_time(shell, usize::MAX).await?;
    let mut listed = parse(&answer);
    listed.sort_by(|a, b| by_parts(a.path, b.path));
    let more = listed.len() as u64 > u64::from(limit);
    listed.truncate(limit as usize);
    Ok((listed.iter().map(Listed::entry).collect(), more))
}

/// Decodes an answer, for the fuzzer.
pub(super) fn decoded(answer: &[u8]) {
    for listed in parse(answer) {
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
fn parse(answer: &[u8]) -> Vec<Listed<'_>> {
    let marks: Vec<usize> =
        answer.windows(2).enumerate().filter(|(_, two)| two == b"//").map(|(at, _)| at).collect();
    let header_of =
        |mark: usize| answer[..mark].iter().rposition(|b| *b == b'\n').map_or(0, |n| n + 1);
    let mut listed = Vec::with_capacity(marks.len());
    for (index, &mark) in marks.iter().enumerate() {
        // The newline before the next header ends this name.
        let end = marks.get(index + 1).map_or(answer.len(), |next| header_of(*next));
        let name = answer[mark + 2..end.max(mark + 2)].strip_suffix(b"\n");
        let header = String::from_utf8_lossy(&answer[header_of(mark)..mark]);
        let mut fields = header.split_ascii_whitespace();
        let mode = fields.next().and_then(|mode| u32::from_str_radix(mode, 16).ok());
        let size = fields.next().and_then(|size| size.parse().ok());
        if let (Some(path), Some(mode), Some(size_bytes)) = (name, mode, size) {
            let path = path.strip_prefix(b"./").unwrap_or(path);
            listed.push(Listed { path, mode, size_bytes });
        }
    }
    listed
}
