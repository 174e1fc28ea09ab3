//! Files on their way from another machine, as a `tar` archive.

use std::{io, ops::ControlFlow, time::Duration};

use bytes::Bytes;

use super::{
    ask::{Answered, Question},
    paths::argument,
};
use crate::{
    Result,
    archive::{Archive, Part},
    spool::Shell,
};

/// Files of standard input, below the folder `$1`, as archives one after the other.
const SCRIPT: &str = r#"cd "$1" 2>/dev/null || exit 42
need xargs tar
xargs -0 -r tar -cf - 2>/dev/null
exit 0
"#;

/// Files of one folder.
pub(super) struct Wanted<'w> {
    /// The path that was asked for, for errors.
    pub(super) path: &'w str,
    /// The folder that the names are relative to.
    pub(super) base: &'w [u8],
    pub(super) names: &'w [Bytes],
    pub(super) timeout: Duration,
}

impl Wanted<'_> {
    /// A question about these files: their names are what `script` reads, their folder is `$1`.
    pub(super) fn question<'q>(&'q self, script: &'q str, more_arguments: &[&str]) -> Question<'q> {
        let mut input = Vec::new();
        for name in self.names {
            input.extend_from_slice(b"./");
            input.extend_from_slice(name);
            input.push(0);
        }
        // A base that is no UTF-8 is reached by the path it was asked for with.
        let base = std::str::from_utf8(self.base).map_or_else(|_| argument(self.path), argument);
        let more = more_arguments.iter().map(|&argument| argument.to_owned());
        Question {
            operation: "search",
            path: self.path,
            needed: "a folder",
            script,
            arguments: std::iter::once(base).chain(more).collect(),
            input: Bytes::from(input),
            timeout: self.timeout,
        }
    }

    /// Hands the parts of the files' archives to `take`, until that breaks off.
    pub(super) async fn fetch(
        &self,
        shell: &dyn Shell,
        mut take: impl FnMut(Part) -> ControlFlow<()> + Send,
    ) -> Result<Answered> {
        let mut archive = Archive::default();
        self.question(SCRIPT, &[]).ask(shell, |bytes| unpack(&mut archive, bytes, &mut take)).await
    }
}

/// Hands the parts of an archive to `take` that are whole with these bytes.
pub(super) fn unpack(
    archive: &mut Archive,
    bytes: &[u8],
    mut take: impl FnMut(Part) -> ControlFlow<()>,
) -> io::Result<ControlFlow<()>> {
    archive.push(bytes);
    while let Some(part) = archive.next()? {
        if take(part).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}
