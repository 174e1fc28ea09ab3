//! What may be asked of a spool.

use crate::{CommandSpec, WorkplaceError};

/// The longest command id: a file's name, with room around it.
const MARK_BYTES: usize = 200;

/// Whether this is a command id: the name of a folder.
///
/// # Errors
/// [`WorkplaceError::Settings`].
pub(super) fn check_mark(command_id: &str) -> Result<(), WorkplaceError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !command_id.is_empty() && command_id.len() <= MARK_BYTES && command_id.bytes().all(fits) {
        return Ok(());
    }
    Err(WorkplaceError::Settings {
        field: "command_id".to_owned(),
        problem: format!("1 to {MARK_BYTES} letters, digits, _ and - are needed"),
    })
}

/// Whether this is a command that can be run.
///
/// # Errors
/// [`WorkplaceError::Settings`], with the field.
pub(super) fn check(spec: &CommandSpec) -> Result<(), WorkplaceError> {
    check_mark(&spec.command_id)?;
    let wrong = |field: &str, problem: &str| {
        let (field, problem) = (field.to_owned(), problem.to_owned());
        Err(WorkplaceError::Settings { field, problem })
    };
    if spec.argv.first().is_none_or(String::is_empty) {
        return wrong("argv", "a program is needed");
    }
    if spec.argv.iter().any(|word| word.contains('\0')) || spec.folder.contains('\0') {
        return wrong("argv", "a NUL cannot be handed to a program");
    }
    Ok(())
}
