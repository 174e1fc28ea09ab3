//! `python`.

use async_trait::async_trait;
use evonic_shared::config;
use schemars::JsonSchema;
use serde::Deserialize;

use super::command::{Options, Program, Runner};
use crate::{Answer, ArgumentError, Call, Tool, ToolSpec};

const DESCRIPTION: &str = "Runs a program with python3 in the workplace and returns what it prints and, unless it is 0, \
     its exit status. Each call is a new interpreter. Otherwise as bash.";

#[derive(Debug, Deserialize, JsonSchema)]
struct Arguments {
    /// The program's text.
    #[schemars(length(min = 1))]
    code: String,
    #[serde(flatten)]
    options: Options,
}

#[derive(Debug)]
pub(super) struct Python(Runner);

impl Python {
    pub(super) fn new(settings: &config::Tools) -> Self {
        Self(Runner::new(settings))
    }

    /// The program comes by standard input: an argument has a limit of 128 KiB.
    async fn execute(
        &self,
        mut call: Call<'_>,
        output_offset: Option<u64>,
    ) -> Result<Answer, ArgumentError> {
        let Arguments { code, options } = call.arguments()?;
        let argv = ["python3", "-u", "-"].map(str::to_owned).to_vec();
        let program = Program { argv, stdin: code, options };
        Ok(self.0.execute(program, call, output_offset).await)
    }
}

#[async_trait]
impl Tool for Python {
    fn spec(&self) -> ToolSpec {
        self.0.spec::<Arguments>("python", DESCRIPTION)
    }

    async fn run(&self, call: Call<'_>) -> Result<Answer, ArgumentError> {
        self.execute(call, None).await
    }

    async fn resume(&self, call: Call<'_>, output_offset: u64) -> Result<Answer, ArgumentError> {
        self.execute(call, Some(output_offset)).await
    }
}
