//! `bash`.

use async_trait::async_trait;
use evonic_shared::config;
use schemars::JsonSchema;
use serde::Deserialize;

use super::command::{Options, Program, Runner};
use crate::{Answer, ArgumentError, Call, Tool, ToolResult, ToolSpec, format};

const DESCRIPTION: &str = "Runs a command with bash in the workplace and returns its output (standard output and error \
     together) and, unless it is 0, its exit status. Standard input is empty and there is no \
     terminal. Each call is a new shell: folders and variables do not carry over. Processes left \
     in the background are killed when the command ends. Of a long output the beginning and the \
     end are returned.";

/// The longest argument that Linux hands over to a program (`MAX_ARG_STRLEN`, with its end).
const ARGUMENT_BYTES: usize = 128 * 1024 - 1;

#[derive(Debug, Deserialize, JsonSchema)]
struct Arguments {
    /// What bash runs, as after bash -c.
    #[schemars(length(min = 1))]
    command: String,
    #[serde(flatten)]
    options: Options,
}

#[derive(Debug)]
pub(super) struct Bash(Runner);

impl Bash {
    pub(super) fn new(settings: &config::Tools) -> Self {
        Self(Runner::new(settings))
    }

    async fn execute(
        &self,
        mut call: Call<'_>,
        output_offset: Option<u64>,
    ) -> Result<Answer, ArgumentError> {
        let Arguments { command, options } = call.arguments()?;
        if command.len() > ARGUMENT_BYTES {
            let bytes = format::count(command.len() as u64);
            return Ok(ToolResult::error(format!(
                "the command is too long ({bytes} bytes, 128 KiB at most); write it to a file with \
                 write_file and run that"
            ))
            .into());
        }
        let argv = vec!["bash".to_owned(), "-c".to_owned(), command];
        let program = Program { argv, stdin: String::new(), options };
        Ok(self.0.execute(program, call, output_offset).await)
    }
}

#[async_trait]
impl Tool for Bash {
    fn spec(&self) -> ToolSpec {
        self.0.spec::<Arguments>("bash", DESCRIPTION)
    }

    async fn run(&self, call: Call<'_>) -> Result<Answer, ArgumentError> {
        self.execute(call, None).await
    }

    async fn resume(&self, call: Call<'_>, output_offset: u64) -> Result<Answer, ArgumentError> {
        self.execute(call, Some(output_offset)).await
    }
}
