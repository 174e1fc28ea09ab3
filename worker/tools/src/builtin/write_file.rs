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
use evonic_workplace::{Rewrite, Written};

const DESCRIPTION: &str = "Writes a file, or replaces it whole. Missing folders are made. To change a part of a file use \
     edit_file.";

#[derive(Debug, Deserialize, JsonSchema)]
struct Arguments {
    /// The file, relative to the workplace. ~ is not expanded.
    #[schemars(length(min = 1))]
    path: String,
    /// The whole new content.
    content: String,
    /// Whether a file that cannot be replaced whole, or would lose something by that (its other
    /// names, its owner), may be written over instead. Default: false.
    in_place: Option<bool>,
}

impl Arguments {
    fn written(&self, notes: &[String]) -> ToolResult {
        let bytes = format::plural(self.content.len() as u64, "byte", "bytes");
        ToolResult::ok(with_notes(format!("wrote {bytes} to {}", self.path), notes))
    }
}

/// How a file may be written.
pub(super) fn rewrite(in_place: Option<bool>) -> Rewrite {
    if in_place.unwrap_or_default() { Rewrite::OrInPlace } else { Rewrite::Whole }
}

/// What was done, and what else there is to know of it.
pub(super) fn with_notes(mut done: String, notes: &[String]) -> String {
    for note in notes {
        done.push_str("; ");
        done.push_str(note);
    }
    done
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
        let content = arguments.content.clone().into();
        let rewrite = rewrite(arguments.in_place);
        let wrote = call.workplace.write(&arguments.path, content, rewrite).await;
        let result = |written: Written| arguments.written(&written.notes());
        Ok(wrote.map_or_else(ToolResult::from, result).into())
    }

    /// What is there now says whether it was written; in place, it may be a part.
    async fn resume(
        &self,
        mut call: Call<'_>,
        _output_offset: u64,
    ) -> Result<Answer, ArgumentError> {
        let arguments: Arguments = call.arguments()?;
        let written = arguments.written(&[]);
        let Arguments { path, content, .. } = arguments;
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
