//! Short scripts about a path, and what their error output means.

use std::io;

use bytes::Bytes;

use super::shell::Sandbox;
use evonic_backend::{
    Result, WorkplaceError,
    spool::{Purpose, Script, ScriptEnd, gather},
};

/// The most bytes of each output that are kept.
const MAX_OUTPUT_BYTES: usize = 64 * 1024;

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
) -> Result<String> {
    let script = Script {
        text: format!("LC_ALL=C; export LC_ALL; {text}"),
        arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
        input: Bytes::new(),
        purpose: Purpose::Serve,
    };
    let (end, output) = gather(sandbox, script, MAX_OUTPUT_BYTES).await?;
    let source = match end {
        ScriptEnd::Exited(0) => return Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        ScriptEnd::Exited(_) => meaning(&output.complaint()),
        ScriptEnd::Killed => {
            io::Error::other("its process was killed; is memory or `pids` used up?")
        }
    };
    Err(WorkplaceError::path(operation, shown, source))
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
