//! A question to a machine: a script, its answer, and what its exit codes mean.

use std::{io, ops::ControlFlow, time::Duration};

use bytes::Bytes;
use tokio::time::timeout;

use crate::{
    Result, WorkplaceError,
    spool::{
        FLOOD_BYTES, Gathered, OutputSink, Purpose, Script, ScriptEnd, ScriptOutput, Shell,
        run_framed,
    },
};

/// Bytes of a script's complaint that errors show.
const COMPLAINT_BYTES: usize = 400;

/// Bytes of an answer that are looked at in one go.
const PIECE_BYTES: usize = 8 * 1024;

/// The beginning of every script: `look PATH` sets `k` to the exit code that names what is there,
/// and exits when nothing is, with the reason.
const PRELUDE: &str = r#"LC_ALL=C
export LC_ALL
unset TAR_OPTIONS
look() {
    if [ -f "$1" ]; then k=51
    elif [ -d "$1" ]; then k=52
    elif [ -p "$1" ]; then k=53
    elif [ -S "$1" ]; then k=54
    elif [ -c "$1" ]; then k=55
    elif [ -b "$1" ]; then k=56
    elif [ -e "$1" ]; then k=57
    else
        p=$1
        while :; do
            case $p in
            / | .) exit 41 ;;
            */*) p=${p%/*}; [ -n "$p" ] || p=/ ;;
            *) p=. ;;
            esac
            if [ -d "$p" ]; then
                [ -x "$p" ] && exit 41
                exit 42
            fi
            [ -e "$p" ] && exit 43
        done
    fi
}
need() {
    for tool do
        command -v "$tool" >/dev/null 2>&1 || { echo "$tool is not installed" >&2; exit 44; }
    done
}
"#;

/// The exit code of a path that is a regular file.
pub(super) const FILE: i32 = 51;

/// A question about a path.
pub(super) struct Question<'q> {
    /// `list`, `search`, `hash`.
    pub(super) operation: &'static str,
    /// The path, for errors.
    pub(super) path: &'q str,
    /// What kind of thing it has to be: `a folder`.
    pub(super) needed: &'static str,
    /// For the POSIX shell; `look` and `need` are defined.
    pub(super) script: &'q str,
    /// `$1`, `$2`, ...
    pub(super) arguments: Vec<String>,
    /// Its standard input.
    pub(super) input: Bytes,
    /// How long it may take.
    pub(super) timeout: Duration,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// All of it was taken.
    Whole,
    /// Its reader broke off.
    Enough,
    /// It took too long; the part that came in time was taken.
    OutOfTime,
}

impl Question<'_> {
    /// Asks, and hands what is answered to `take` as it comes, until that breaks off.
    ///
    /// # Errors
    /// [`crate::WorkplaceError`]: the machine's, the path's, or `take`'s as the path's.
    pub(super) async fn ask(
        self,
        shell: &dyn Shell,
        take: impl FnMut(&[u8]) -> io::Result<ControlFlow<()>> + Send,
    ) -> Result<Answered> {
        let script = Script {
            text: format!("{PRELUDE}{}", self.script),
            arguments: self.arguments.clone(),
            input: self.input.clone(),
            purpose: Purpose::Serve,
        };
        let complaint = Gathered::new(COMPLAINT_BYTES);
        let mut answer = Answer { take, malformed: None, complaint };
        let ran = timeout(self.timeout, run_framed(shell, script, &mut answer)).await;
        if let Some(error) = answer.malformed {
            return Err(self.failed(error));
        }
        match ran {
            Err(_) => Ok(Answered::OutOfTime),
            Ok(Ok(None)) => Ok(Answered::Enough),
            Ok(Ok(Some(ScriptEnd::Exited(0)))) => Ok(Answered::Whole),
            Ok(Ok(Some(end))) => Err(self.refused(end, &answer.complaint.complaint())),
            Ok(Err(error)) => Err(error),
        }
    }

    /// The answer, or what came of it in time.
    ///
    /// # Errors
    /// Also when it has more than `limit` bytes, which the script would have cut off: whoever
    /// answers does as it likes, and would do it again.
    pub(super) async fn gather(
        self,
        shell: &dyn Shell,
        limit: usize,
    ) -> Result<(Vec<u8>, Answered)> {
        let mut answer = Vec::new();
        let answered = self.ask(shell, |bytes| {
            if bytes.len() > limit - answer.len() {
                return Err(too_long(limit));
            }
            answer.extend_from_slice(bytes);
            Ok(ControlFlow::Continue(()))
        });
        let answered = answered.await?;
        Ok((answer, answered))
    }

    /// The whole answer: at most `limit` bytes.
    pub(super) async fn gather_in_time(self, shell: &dyn Shell, limit: usize) -> Result<Vec<u8>> {
        let (operation, path) = (self.operation, self.path);
        match self.gather(shell, limit).await? {
            (_, Answered::OutOfTime) => Err(out_of_time(operation, path)),
            (answer, _) => Ok(answer),
        }
    }

    fn refused(&self, end: ScriptEnd, complaint: &str) -> WorkplaceError {
        use rustix::io::Errno;
        let ScriptEnd::Exited(code) = end else {
            return self.failed(io::Error::other("the shell was killed"));
        };
        let found = match code {
            41 => return self.failed(Errno::NOENT),
            42 => return self.failed(Errno::ACCESS),
            43 => return self.failed(Errno::NOTDIR),
            FILE => "a regular file",
            52 => "a folder",
            53 => "a named pipe",
            54 => "a socket",
            55 => "a character device",
            56 => "a block device",
            57 => "of an unknown kind",
            _ => {
                return self.failed(io::Error::other(if complaint.is_empty() {
                    format!("its shell ended with {code}")
                } else {
                    complaint.to_owned()
                }));
            }
        };
        let path = self.path.to_owned();
        WorkplaceError::WrongType { path, found, needed: self.needed }
    }

    fn failed(&self, source: impl Into<io::Error>) -> WorkplaceError {
        WorkplaceError::path(self.operation, self.path, source)
    }
}

/// The error of an answer that did not come in time, where a part of it is of no use.
pub(super) fn out_of_time(operation: &'static str, path: &str) -> WorkplaceError {
    let source = io::Error::new(io::ErrorKind::TimedOut, "it takes too long");
    WorkplaceError::path(operation, path, source)
}

fn too_long(limit: usize) -> io::Error {
    let said = format!("the machine answers with more than {limit} bytes");
    io::Error::new(io::ErrorKind::InvalidData, said)
}

/// Hands standard output to `take`, and keeps the beginning of standard error.
struct Answer<F> {
    take: F,
    /// Why `take` broke off.
    malformed: Option<io::Error>,
    complaint: Gathered,
}

impl<F: FnMut(&[u8]) -> io::Result<ControlFlow<()>> + Send> OutputSink for Answer<F> {
    async fn take(&mut self, output: ScriptOutput) -> ControlFlow<()> {
        let bytes = match output {
            ScriptOutput::Out(bytes) => bytes,
            complaint => {
                if self.complaint.take(complaint).await.is_break() {
                    self.malformed = Some(too_long(FLOOD_BYTES));
                    return ControlFlow::Break(());
                }
                return ControlFlow::Continue(());
            }
        };
        for piece in bytes.chunks(PIECE_BYTES) {
            let taken = (self.take)(piece).unwrap_or_else(|error| {
                self.malformed = Some(error);
                ControlFlow::Break(())
            });
            if taken.is_break() {
                return taken;
            }
            // Others have their turn, and a caller who has gone is noticed.
            tokio::task::yield_now().await;
        }
        ControlFlow::Continue(())
    }
}
