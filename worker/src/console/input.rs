//! Arguments, and text of files and standard input.

use std::io::Read;

use evonic_domain::{AgentName, Retention};

use super::error::{ConsoleError, Result};

/// A text, or that of `@FILE`, or of standard input for `-`.
pub(super) fn argument_text(argument: &str) -> Result<String> {
    let input = |what: &str| {
        let what = what.to_owned();
        move |source| ConsoleError::Input { what, source }
    };
    match argument.strip_prefix('@') {
        Some(file) => std::fs::read_to_string(file).map_err(input(file)),
        None if argument == "-" => read_stdin(),
        None => Ok(argument.to_owned()),
    }
}

/// All of standard input.
pub(super) fn read_stdin() -> Result<String> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|source| ConsoleError::Input { what: "standard input".to_owned(), source })?;
    Ok(text)
}

/// A name of an agent, a workplace or a key.
pub(super) fn name(text: &str) -> Result<AgentName> {
    text.parse().map_err(|error| ConsoleError::Usage(format!("{text:?}: {error}")))
}

/// How long sessions of an agent are kept: `general` for none of its own, `forever`, an age, a number
/// of sessions, or both with a comma between them.
pub(super) fn retention(text: &str) -> Result<Option<Retention>> {
    if text == "general" {
        return Ok(None);
    }
    let mut retention = Retention::default();
    for part in text.split(',').filter(|_| text != "forever") {
        let refuse = || {
            let form =
                "forever, general, an age such as 30days, a number of sessions, or 30days,100";
            ConsoleError::Usage(format!("{text:?}: {form}"))
        };
        match part.parse() {
            Ok(most) => retention.max_sessions = Some(most),
            Err(_) => retention.sessions = Some(part.parse().map_err(|_| refuse())?),
        }
    }
    Ok(Some(retention))
}
