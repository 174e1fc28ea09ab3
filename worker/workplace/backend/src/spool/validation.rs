//! Which commands a spool accepts.

use crate::{CommandSpec, Result, WorkplaceError};

/// The longest command id: a file's name, with room for additions.
const COMMAND_ID_BYTES: usize = 200;

/// The longest argument of a program on Linux.
const ARGUMENT_BYTES: usize = (128 << 10) - 1;

/// Checks a command id, which names a folder.
///
/// # Errors
/// [`WorkplaceError::Settings`].
pub fn check_command_id(command_id: &str) -> Result<()> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !command_id.is_empty()
        && command_id.len() <= COMMAND_ID_BYTES
        && command_id.bytes().all(fits)
    {
        return Ok(());
    }
    let problem = format!("1 to {COMMAND_ID_BYTES} letters, digits, _ and - are needed");
    Err(WorkplaceError::settings("command_id", problem))
}

/// Checks a command.
///
/// # Errors
/// [`WorkplaceError::Settings`], with the field.
pub fn check(spec: &CommandSpec) -> Result<()> {
    check_command_id(&spec.command_id)?;
    if spec.argv.first().is_none_or(String::is_empty) {
        return Err(WorkplaceError::settings("argv", "a program is needed"));
    }
    if spec.argv.iter().any(|argument| argument.contains('\0')) || spec.folder.contains('\0') {
        return Err(WorkplaceError::settings("argv", "a NUL cannot be handed to a program"));
    }
    Ok(())
}

/// Why the kernel would not start it, when an argument is too long for that.
#[must_use]
pub fn too_long(spec: &CommandSpec) -> Option<String> {
    let long = spec.argv.iter().map(String::len).find(|bytes| *bytes > ARGUMENT_BYTES)?;
    Some(format!("an argument has {long} bytes, at most {ARGUMENT_BYTES} can be handed over"))
}
