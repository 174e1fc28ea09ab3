//! Small scripts that put files in order, and what their complaints mean.

use std::io;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{WorkplaceError, shell::Sandbox};
use evonic_backend::spool::{Purpose, Script, ScriptEnd, ScriptOutput, Shell};

/// The most bytes of an answer that are kept.
const MOST_BYTES: usize = 64 * 1024;

/// Pieces of an answer that wait.
const PIECES: usize = 4;

/// Runs a script about a path, and returns what it wrote to its standard output.
///
/// # Errors
/// [`WorkplaceError`]; when the script complains, with its words.
pub(super) async fn order(
    sandbox: &Sandbox,
    operation: &'static str,
    shown: &str,
    text: &str,
    arguments: &[&str],
) -> Result<String, WorkplaceError> {
    let script = Script {
        text: format!("LC_ALL=C; export LC_ALL; {text}"),
        arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
        input: Bytes::new(),
        purpose: Purpose::Serve,
    };
    let (said, mut heard) = mpsc::channel(PIECES);
    let (mut out, mut complaint) = (Vec::new(), Vec::new());
    let listen = async {
        while let Some(said) = heard.recv().await {
            let (kept, more) = match &said {
                ScriptOutput::Out(more) => (&mut out, more),
                ScriptOutput::Err(more) => (&mut complaint, more),
            };
            let room = MOST_BYTES.saturating_sub(kept.len());
            kept.extend_from_slice(&more[..more.len().min(room)]);
        }
    };
    let (end, ()) = tokio::join!(sandbox.script(script, said), listen);
    match end? {
        ScriptEnd::Exited(0) => Ok(String::from_utf8_lossy(&out).into_owned()),
        ScriptEnd::Exited(_) => Err(WorkplaceError::Path {
            operation,
            path: shown.to_owned(),
            source: meaning(String::from_utf8_lossy(&complaint).trim()),
        }),
        ScriptEnd::Killed => Err(WorkplaceError::Path {
            operation,
            path: shown.to_owned(),
            source: io::Error::other("its process was killed; is memory or `pids` used up?"),
        }),
    }
}

/// Tools speak in words only; these are the ones of every C library.
fn meaning(complaint: &str) -> io::Error {
    let kinds = [
        ("No such file or directory", io::ErrorKind::NotFound),
        ("Permission denied", io::ErrorKind::PermissionDenied),
        ("Not a directory", io::ErrorKind::NotADirectory),
        ("Is a directory", io::ErrorKind::IsADirectory),
        ("Directory not empty", io::ErrorKind::DirectoryNotEmpty),
        ("File exists", io::ErrorKind::AlreadyExists),
        ("Read-only file system", io::ErrorKind::ReadOnlyFilesystem),
        ("No space left on device", io::ErrorKind::StorageFull),
        ("Disk quota exceeded", io::ErrorKind::QuotaExceeded),
    ];
    match kinds.into_iter().find(|(words, _)| complaint.contains(words)) {
        Some((_, kind)) => kind.into(),
        None => io::Error::other(complaint.to_owned()),
    }
}
