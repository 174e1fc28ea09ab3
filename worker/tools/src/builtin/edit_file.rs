//! `edit_file`.

use async_trait::async_trait;
use evonic_shared::error_chain::ErrorChain;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    inspect::{edit, inspect},
    replacement::{Replacement, at_lines},
    write_file::{rewrite, with_notes},
};
use crate::{
    Answer, ArgumentError, Call, Effect, Ending, Loss, Tool, ToolResult, ToolSpec, format,
    tool::spec,
};

const DESCRIPTION: &str = "Replaces text in a file. `old` must be exactly what is in the file, with its white space and \
     without line numbers, and must occur exactly `count` times; otherwise nothing is changed and \
     the answer says what is there instead.";

#[derive(Debug, Deserialize, JsonSchema)]
struct Arguments {
    /// The file, relative to the workplace. ~ is not expanded.
    #[schemars(length(min = 1))]
    path: String,
    /// The text to replace; may be several lines.
    #[schemars(length(min = 1))]
    old: String,
    /// The text to put in its place.
    new: String,
    /// How many times `old` occurs; every one is replaced. Default: 1.
    #[schemars(range(min = 1))]
    count: Option<u64>,
    /// Whether a file that cannot be replaced whole, or would lose something by that (its other
    /// names, its owner), may be written over instead. Default: false.
    in_place: Option<bool>,
}

#[derive(Debug)]
pub(super) struct EditFile;

#[async_trait]
impl Tool for EditFile {
    fn spec(&self) -> ToolSpec {
        spec::<Arguments>("edit_file", DESCRIPTION, Effect::Change, Ending::WithWorker)
    }

    async fn run(&self, mut call: Call<'_>) -> Result<Answer, ArgumentError> {
        let Arguments { path, old, new, count, in_place } = call.arguments()?;
        let replacement = Replacement { old, new, count: count.unwrap_or(1) };
        let change = move |content: &[u8]| match replacement.apply(content) {
            Ok((new, lines)) => (Some(new), Ok(lines)),
            Err(refusal) => (None, Err(refusal)),
        };
        let edited = edit(call.workplace.as_ref(), &path, rewrite(in_place), change);
        let result = match edited.await {
            Ok((Ok(lines), written)) => {
                let replaced = format::plural(lines.len() as u64, "occurrence", "occurrences");
                let done = format!("replaced {replaced} in {path}, {}", at_lines(&lines));
                ToolResult::ok(with_notes(done, &written.notes()))
            }
            Ok((Err(refusal), _)) => ToolResult::error(format!("{path}: {refusal}")),
            Err(error) => error.into(),
        };
        Ok(result.into())
    }

    /// An edit leaves no trace that only it could have left: the loss says what is there.
    async fn resume(
        &self,
        mut call: Call<'_>,
        _output_offset: u64,
    ) -> Result<Answer, ArgumentError> {
        let Arguments { path, old, new, .. } = call.arguments()?;
        let occurrences = inspect(call.workplace.as_ref(), &path, move |content| {
            let content = String::from_utf8_lossy(content);
            let new = if new.is_empty() { 0 } else { content.matches(&new).count() };
            (content.matches(&old).count(), new)
        });
        let times = |count: usize| format::plural(count as u64, "time", "times");
        let why = match occurrences.await {
            Ok((old, new)) => {
                format!("old occurs {} in {path} now, and new {}", times(old), times(new))
            }
            Err(error) => ErrorChain(&error).to_string(),
        };
        Ok(Answer::Lost(Loss::because(why)))
    }
}
