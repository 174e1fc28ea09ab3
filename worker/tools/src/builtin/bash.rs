//! `bash`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::command::{Command, Options, Program};
use crate::format;

const DESCRIPTION: &str = "Runs a command with bash in the workplace and returns its output (standard output and error \
     together) as a terminal would show it and, unless it is 0, its exit status. Standard input is \
     empty and there is no terminal: nothing can be asked, and editors end at once. Binary output is \
     not shown. Each call is a new shell: folders and variables do not carry over. Processes left in \
     the background are killed when the command ends. Of a long output the beginning and the end are \
     returned.";

/// The longest argument that Linux hands over to a program (`MAX_ARG_STRLEN`, with its end).
const ARGUMENT_BYTES: usize = 128 * 1024 - 1;

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Arguments {
    /// What bash runs, as after bash -c.
    #[schemars(length(min = 1))]
    command: String,
    #[serde(flatten)]
    options: Options,
}

impl Program for Arguments {
    const NAME: &'static str = "bash";
    const DESCRIPTION: &'static str = DESCRIPTION;

    fn command(self) -> Result<Command, String> {
        let Self { command, options } = self;
        if command.len() > ARGUMENT_BYTES {
            let bytes = format::count(command.len() as u64);
            return Err(format!(
                "the command is too long ({bytes} bytes, 128 KiB at most); write it to a file with \
                 write_file and run that"
            ));
        }
        let argv = vec!["bash".to_owned(), "-c".to_owned(), command];
        Ok(Command { argv, stdin: String::new(), options })
    }
}
