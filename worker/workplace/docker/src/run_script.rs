//! Short scripts about a path, and what their error output means.

use std::io;

use bytes::Bytes;
use rustix::io::Errno;

use super::{diagnosis, shell::Sandbox};
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
        ScriptEnd::Exited(code) => {
            let complaint = output.complaint();
            // On the heap: it is rarely wanted, and large.
            if complaint.is_empty()
                && matches!(code, NOT_EXECUTED | NOT_FOUND)
                && let Some(error) = Box::pin(diagnosis::unstarted(sandbox)).await
            {
                return Err(error);
            }
            if complaint.is_empty() {
                // The engine says on standard output why it did not start a shell.
                let said = String::from_utf8_lossy(&output.stdout);
                io::Error::other(format!("exit code {code}: {}", said.trim()))
            } else {
                meaning(&complaint)
            }
        }
        ScriptEnd::Killed => {
            io::Error::other("its process was killed; is memory or `pids` used up?")
        }
    };
    Err(WorkplaceError::path(operation, shown, source))
}

/// The exit codes of an exec whose program the engine could not start.
const NOT_EXECUTED: i32 = 126;
const NOT_FOUND: i32 = 127;

/// Tools report errors as texts only; these are the ones of every C library.
fn meaning(error_output: &str) -> io::Error {
    let errors = [
        ("No such file or directory", Errno::NOENT),
        ("Permission denied", Errno::ACCESS),
        ("Not a directory", Errno::NOTDIR),
        ("Is a directory", Errno::ISDIR),
        ("Directory not empty", Errno::NOTEMPTY),
        ("File exists", Errno::EXIST),
        ("Read-only file system", Errno::ROFS),
        ("No space left on device", Errno::NOSPC),
        ("Disk quota exceeded", Errno::DQUOT),
    ];
    match errors.into_iter().find(|(text, _)| error_output.contains(text)) {
        Some((_, errno)) => errno.into(),
        None => io::Error::other(error_output.to_owned()),
    }
}
