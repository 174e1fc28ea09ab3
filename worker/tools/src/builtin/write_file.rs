//! `write_file`.

use async_trait::async_trait;
use evonic_shared::error_chain::ErrorChain;
use schemars::JsonSchema;
use serde::Deserialize;

use super::inspect::inspect;
use crate::{
    Answer, ArgumentError, Call, Effect, Ending, Loss, Tool, ToolResult, ToolSpec, format,
    tool::spec,
};

const DESCRIPTION: &str = "Writes a file, or replaces it whole. Missing folders are made. To change a part of a file use \
     edit_file.";

#[derive(Debug, Deserialize, JsonSchema)]
struct Arguments {
    /// The file, relative to the workplace. ~ is not expanded.
    #[schemars(length(min = 1))]
    path: String,
    /// The whole new content.
    content: String,
}

impl Arguments {
    fn written(&self) -> ToolResult {
        let bytes = format::plural(self.content.len() as u64, "byte", "bytes");
        ToolResult::ok(format!("wrote {bytes} to {}", self.path))
    }
}

#[derive(Debug)]
pub(super) struct WriteFile;

#[async_trait]
impl Tool for WriteFile {
    fn spec(&self) -> ToolSpec {
        spec::<Arguments>("write_file", DESCRIPTION, Effect::Change, Ending::WithWorker)
    }

    async fn run(&self, mut call: Call<'_>) -> Result<Answer, ArgumentError> {
        let arguments: Arguments = call.arguments()?;
        let written = arguments.written();
        let wrote = call.workplace.write(&arguments.path, arguments.content.into()).await;
        Ok(wrote.map_or_else(ToolResult::from, |()| written).into())
    }

    /// Files are written whole or not at all: what is there now says whether that happened.
    async fn resume(
        &self,
        mut call: Call<'_>,
        _output_offset: u64,
    ) -> Result<Answer, ArgumentError> {
        let arguments: Arguments = call.arguments()?;
        let written = arguments.written();
        let Arguments { path, content } = arguments;
        let same =
            inspect(call.workplace.as_ref(), &path, move |there| there == content.as_bytes());
        Ok(match same.await {
            Ok(true) => written.into(),
            Ok(false) => {
                let why = format!("{path} has other content now than was to be written");
                Answer::Lost(Loss::because(why))
            }
            Err(error) => Answer::Lost(Loss::because(ErrorChain(&error).to_string())),
        })
    }
}
