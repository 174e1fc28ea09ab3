//! A question to a machine: a script, what it answers, and what its exit codes mean.

use std::{io, ops::ControlFlow, time::Duration};

use bytes::Bytes;
use tokio::{sync::mpsc, time::timeout};

use crate::{
    WorkplaceError,
    spool::{Purpose, Said, Script, ScriptEnd, Shell},
};

/// Pieces of an answer that wait.
const PIECES: usize = 4;

/// Bytes of what a script complained of that are told.
const COMPLAINT_BYTES: usize = 400;

/// What every script begins with: `look PATH` sets `k` to the exit code that names what is there,
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
    /// What is done, in the POSIX shell; `look` and `need` are defined.
    pub(super) script: &'q str,
    /// `$1`, `$2`, ...
    pub(super) arguments: Vec<String>,
    /// What it reads.
    pub(super) input: Bytes,
    /// How long it may take.
    pub(super) patience: Duration,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// All of it was taken.
    Whole,
    /// Whoever took it wanted no more.
    Enough,
    /// It took too long; what came until then was taken.
    OutOfTime,
}

/// A path as an argument that no tool takes for an option, and no shell for a user's home.
pub(super) fn argument(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("./{path}") }
}

impl Question<'_> {
    /// Asks, and hands what is answered to `take` as it comes, until that breaks off.
    ///
    /// # Errors
    /// [`WorkplaceError`]: the machine's, or the path's.
    pub(super) async fn ask<S: Shell>(
        self,
        shell: &S,
        take: impl FnMut(&[u8]) -> ControlFlow<()> + Send,
    ) -> Result<Answered, WorkplaceError> {
        let script = Script {
            text: format!("{PRELUDE}{}", self.script),
            arguments: self.arguments.clone(),
            input: self.input.clone(),
            purpose: Purpose::Serve,
        };
        let mut complaint = Vec::new();
        let asked = follow(shell, script, take, &mut complaint);
        match timeout(self.patience, asked).await {
            Err(_) => Ok(Answered::OutOfTime),
            Ok(Ok(None)) => Ok(Answered::Enough),
            Ok(Ok(Some(ScriptEnd::Exited(0)))) => Ok(Answered::Whole),
            Ok(Ok(Some(end))) => Err(self.refused(end, &complaint)),
            Ok(Err(error)) => Err(error),
        }
    }

    /// That time is over, for those to whom a part of an answer is none.
    pub(super) fn out_of_time(operation: &'static str, path: &str) -> WorkplaceError {
        let source = io::Error::new(io::ErrorKind::TimedOut, "it takes too long");
        WorkplaceError::Path { operation, path: path.to_owned(), source }
    }

    fn refused(&self, end: ScriptEnd, complaint: &[u8]) -> WorkplaceError {
        use rustix::io::Errno;
        let ScriptEnd::Exited(code) = end else {
            return self.failed(io::Error::other("the shell was killed"));
        };
        let found = match code {
            41 => return self.failed(Errno::NOENT.into()),
            42 => return self.failed(Errno::ACCESS.into()),
            43 => return self.failed(Errno::NOTDIR.into()),
            FILE => "a regular file",
            52 => "a folder",
            53 => "a named pipe",
            54 => "a socket",
            55 => "a character device",
            56 => "a block device",
            57 => "of an unknown kind",
            _ => {
                let said = String::from_utf8_lossy(complaint);
                let said = said.trim();
                return self.failed(io::Error::other(if said.is_empty() {
                    format!("its shell ended with {code}")
                } else {
                    said.to_owned()
                }));
            }
        };
        let path = self.path.to_owned();
        WorkplaceError::WrongType { path, found, needed: self.needed }
    }

    fn failed(&self, source: io::Error) -> WorkplaceError {
        WorkplaceError::Path { operation: self.operation, path: self.path.to_owned(), source }
    }
}

/// Runs a script and takes what it says; nothing when `take` broke off.
async fn follow<S: Shell>(
    shell: &S,
    script: Script,
    mut take: impl FnMut(&[u8]) -> ControlFlow<()> + Send,
    complaint: &mut Vec<u8>,
) -> Result<Option<ScriptEnd>, WorkplaceError> {
    let (sender, mut said) = mpsc::channel(PIECES);
    let run = shell.script(script, sender);
    let listen = async {
        while let Some(said) = said.recv().await {
            match said {
                Said::Out(bytes) if take(&bytes).is_break() => return ControlFlow::Break(()),
                Said::Out(_) => {}
                Said::Err(bytes) => {
                    let room = COMPLAINT_BYTES.saturating_sub(complaint.len());
                    complaint.extend_from_slice(&bytes[..bytes.len().min(room)]);
                }
            }
        }
        ControlFlow::Continue(())
    };
    tokio::pin!(run, listen);
    tokio::select! {
        heard = &mut listen => match heard {
            ControlFlow::Break(()) => Ok(None),
            ControlFlow::Continue(()) => run.await.map(Some),
        },
        end = &mut run => {
            let end = end?;
            Ok(if listen.await.is_break() { None } else { Some(end) })
        }
    }
}
