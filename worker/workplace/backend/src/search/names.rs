//! The names below a folder that is to be searched.

use std::time::Duration;

use bytes::Bytes;

use super::{
    ask::{Answered, FILE, Question, out_of_time},
    listing::by_parts,
    paths::argument,
    query::Query,
};
use crate::{Result, spool::Shell};

/// How long names may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Bytes of names that are taken, and names: what a worker holds of them is a few times as much.
const NAMES_BYTES: usize = 8 * 1024 * 1024;
const NAMES: usize = 150_000;

/// Bytes of a path that are believed (`PATH_MAX`).
const PATH_BYTES: usize = 4096;

/// What the path is, its real path and that of the root; then every folder and regular file below
/// it with a letter before it, a capital when it cannot be read. Links are not followed. A large
/// file with a zero byte near its beginning is no text and is left out here: read as a part of an
/// archive it would take the place of all that come after it (where `tr` or `wc` is missing it is read
/// all the same). `X` stands for a path that is too long
/// for `find` itself.
const SCRIPT: &str = r#"look "$2"
case $k in 51 | 52) ;; *) exit $k ;; esac
[ -r "$2" ] || exit 42
need find readlink head
printf '%s\000' $k
readlink -f "$1" || exit 41
printf '\000'
readlink -f "$2" || exit 41
printf '\000'
[ $k = 51 ] && exit 0
cd "$2" 2>/dev/null || exit 42
{ { find . -type d -name .git -prune -o \
    -type d -exec sh -c 'for p do
        if [ -r "$p" ] && [ -x "$p" ]; then k=d; else k=D; fi; printf "%s%s\000" $k "$p"
    done' sh {} + -o \
    -type f -size +4096 -exec sh -c 'can=$(printf x | tr -d "\000" | wc -c)
    for p do
        if [ ! -r "$p" ]; then printf "F%s\000" "$p"
        elif [ "${can:-0}" -ne 1 ] ||
            [ "$(head -c 65536 "$p" | tr -d "\000" | wc -c)" -ge 65536 ]; then
            printf "f%s\000" "$p"
        fi
    done' sh {} + -o \
    -type f -exec sh -c 'for p do
        if [ -r "$p" ]; then k=f; else k=F; fi; printf "%s%s\000" $k "$p"
    done' sh {} + 2>&1 >&4 4>&- | while IFS= read -r line; do
        case $line in *"too long"*) printf 'X\000' >&4 ;; esac
    done; } 4>&1; } | head -c "$3"
exit 0
"#;

/// What is to be searched.
#[derive(Debug)]
pub(super) struct Names {
    /// Whether it is one file.
    pub(super) is_file: bool,
    /// Its real path.
    pub(super) real: Vec<u8>,
    /// The root's real path.
    pub(super) root: Vec<u8>,
    /// What is below it, in the order of its parts.
    pub(super) entries: Vec<Name>,
    /// Whether some are missing: there were too many.
    pub(super) more: bool,
    /// Paths that are too long to be looked at.
    pub(super) too_long: u32,
}

/// A folder or a regular file.
#[derive(Debug)]
pub(super) struct Name {
    /// Relative to the folder that is searched. A part of the answer.
    pub(super) path: Bytes,
    /// Whether it is a folder.
    pub(super) is_folder: bool,
    /// Whether it can be read.
    pub(super) is_readable: bool,
}

/// Asks for the names.
///
/// # Errors
/// [`crate::WorkplaceError`].
pub(super) async fn names(shell: &dyn Shell, query: &Query<'_>) -> Result<Names> {
    let arguments = vec![argument(query.root), argument(query.path), NAMES_BYTES.to_string()];
    let question = Question {
        operation: "search",
        path: query.path,
        needed: "a regular file or a folder",
        script: SCRIPT,
        arguments,
        input: Bytes::new(),
        timeout: TIMEOUT,
    };
    let (answer, answered) = question.gather(shell, NAMES_BYTES + 4 * PATH_BYTES).await?;
    let mut names = parse(answer.into()).ok_or_else(|| out_of_time("search", query.path))?;
    names.more |= answered == Answered::OutOfTime;
    Ok(names)
}

fn parse(answer: Bytes) -> Option<Names> {
    // What is after the last NUL was cut off.
    let whole = answer.slice(..answer.iter().rposition(|byte| *byte == 0)?);
    let mut parts = whole.split(|byte| *byte == 0);
    let is_file = parts.next()? == FILE.to_string().as_bytes();
    let mut real_path = || {
        let path = parts.next()?.strip_suffix(b"\n")?;
        (path.len() <= PATH_BYTES).then(|| path.to_vec())
    };
    let (root, real) = (real_path()?, real_path()?);
    let (mut entries, mut too_long, mut more) = (Vec::new(), 0, answer.len() >= NAMES_BYTES);
    for part in parts {
        match name(&whole, part) {
            Some(name) if name.path.len() > PATH_BYTES => too_long += 1,
            Some(_) if entries.len() == NAMES => {
                more = true;
                break;
            }
            Some(name) => entries.push(name),
            None if part == b"X" => too_long += 1,
            None => {}
        }
    }
    entries.sort_by(|a, b| by_parts(&a.path, &b.path));
    Some(Names { is_file, real, root, entries, more, too_long })
}

fn name(answer: &Bytes, part: &[u8]) -> Option<Name> {
    let (letter, path) = part.split_first()?;
    let path = path.strip_prefix(b"./")?;
    let is_folder = letter.eq_ignore_ascii_case(&b'd');
    Some(Name { path: answer.slice_ref(path), is_folder, is_readable: letter.is_ascii_lowercase() })
}
