//! Short scripts about a path, and what their error output means.

use std::io;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::shell::Sandbox;
use evonic_backend::{
    WorkplaceError,
    spool::{Purpose, Script, ScriptEnd, ScriptOutput, Shell},
};

/// The most bytes of each output that are kept.
const MAX_OUTPUT_BYTES: usize = 64 * 1024;

/// Pieces of output that wait.
const QUEUE: usize = 4;

/// Runs a script about a path, and returns what it wrote to its standard output.
///
/// # Errors
/// [`WorkplaceError`]; when the script fails, with its error output.
pub(super) async fn run_script(
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
    let (sender, mut output) = mpsc::channel(QUEUE);
    let (mut out, mut error_output) = (Vec::new(), Vec::new());
    let listen = async {
        while let Some(piece) = output.recv().await {
            let (kept, more) = match &piece {
                ScriptOutput::Out(more) => (&mut out, more),
                ScriptOutput::Err(more) => (&mut error_output, more),
            };
            let room = MAX_OUTPUT_BYTES.saturating_sub(kept.len());
            kept.extend_from_slice(&more[..more.len().min(room)]);
        }
    };
    let (end, ()) = tokio::join!(sandbox.script(script, sender), listen);
    match end? {
        ScriptEnd::Exited(0) => Ok(String::from_utf8_lossy(&out).into_owned()),
        ScriptEnd::Exited(_) => Err(WorkplaceError::Path {
            operation,
            path: shown.to_owned(),
            source: meaning(String::from_utf8_lossy(&error_output).trim()),
        }),
        ScriptEnd::Killed => Err(WorkplaceError::Path {
            operation,
            path: shown.to_owned(),
            source: io::Error::other("its process was killed; is memory or `pids` used up?"),
        }),
    }
}

/// Tools report errors as texts only; these are the ones of every C library.
fn meaning(error_output: &str) -> io::Error {
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
    match kinds.into_iter().find(|(text, _)| error_output.contains(text)) {
        Some((_, kind)) => kind.into(),
        None => io::Error::other(error_output.to_owned()),
    }
}
