//! Which commands a spool accepts.

use crate::{CommandSpec, WorkplaceError};

/// The longest command id: a file's name, with room for additions.
const COMMAND_ID_BYTES: usize = 200;

/// Checks a command id, which names a folder.
///
/// # Errors
/// [`WorkplaceError::Settings`].
pub(super) fn check_command_id(command_id: &str) -> Result<(), WorkplaceError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !command_id.is_empty()
        && command_id.len() <= COMMAND_ID_BYTES
        && command_id.bytes().all(fits)
    {
        return Ok(());
    }
    Err(WorkplaceError::Settings {
        field: "command_id".to_owned(),
        problem: format!("1 to {COMMAND_ID_BYTES} letters, digits, _ and - are needed"),
    })
}

/// Checks a command.
///
/// # Errors
/// [`WorkplaceError::Settings`], with the field.
pub(super) fn check(spec: &CommandSpec) -> Result<(), WorkplaceError> {
    check_command_id(&spec.command_id)?;
    let wrong = |field: &str, problem: &str| {
        let (field, problem) = (field.to_owned(), problem.to_owned());
        Err(WorkplaceError::Settings { field, problem })
    };
    if spec.argv.first().is_none_or(String::is_empty) {
        return wrong("argv", "a program is needed");
    }
    if spec.argv.iter().any(|argument| argument.contains('\0')) || spec.folder.contains('\0') {
        return wrong("argv", "a NUL cannot be handed to a program");
    }
    Ok(())
}
