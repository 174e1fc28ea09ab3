//! `python`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::command::{Command, Options, Program};

const DESCRIPTION: &str = "Runs a program with python3 in the workplace and returns what it prints and, unless it is 0, \
     its exit status. Each call is a new interpreter. Otherwise as bash.";

#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Arguments {
    /// The program's text.
    #[schemars(length(min = 1))]
    code: String,
    #[serde(flatten)]
    options: Options,
}

impl Program for Arguments {
    const NAME: &'static str = "python";
    const DESCRIPTION: &'static str = DESCRIPTION;

    /// The program comes by standard input: an argument has a limit of 128 KiB.
    fn command(self) -> Result<Command, String> {
        let argv = ["python3", "-u", "-"].map(str::to_owned).to_vec();
        Ok(Command { argv, stdin: self.code, options: self.options })
    }
}
