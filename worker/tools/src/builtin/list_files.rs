//! `list_files`.

use std::fmt::Write as _;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Limits;
use crate::{
    Answer, ArgumentError, Call, Effect, Ending, Tool, ToolResult, ToolSpec, format,
    output::capped, tool::spec,
};
use evonic_workplace::{Entry, FileType};

const DESCRIPTION: &str =
    "Lists a folder: folders end with a slash, files come with their size. Links are not followed.";

/// The most entries of one listing.
const ENTRIES: u32 = 1_000;

#[derive(Debug, Deserialize, JsonSchema)]
struct Arguments {
    /// The folder. Default: the workplace itself, relative to the workplace. ~ is not expanded.
    #[schemars(length(min = 1))]
    path: Option<String>,
    /// How many levels of folders; 1 is the folder itself. Default: 1.
    #[schemars(range(min = 1))]
    depth: Option<u64>,
}

#[derive(Debug)]
pub(super) struct ListFiles(pub(super) Limits);

impl ListFiles {
    fn listed(&self, entries: &[Entry], more: bool) -> ToolResult {
        let mut text = String::new();
        for entry in entries {
            let path = format::path(&entry.path);
            let line = match entry.file_type {
                FileType::File => format!("{path} ({})\n", format::bytes(entry.size_bytes)),
                FileType::Folder => format!("{path}/\n"),
                FileType::Link => format!("{path} (symbolic link)\n"),
                FileType::Other => format!("{path} (special file)\n"),
            };
            text.push_str(&line);
        }
        let mut text = capped(&text, self.0.max_output_bytes);
        if more {
            let shown = format::count(entries.len() as u64);
            let _infallible = writeln!(
                text,
                "[the first {shown} entries; there are more: list a folder of it, or less depth]"
            );
        } else if entries.is_empty() {
            text.push_str("[the folder is empty]\n");
        }
        ToolResult::ok(text)
    }
}

#[async_trait]
impl Tool for ListFiles {
    fn spec(&self) -> ToolSpec {
        spec::<Arguments>("list_files", DESCRIPTION, Effect::Read, Ending::WithWorker)
    }

    async fn run(&self, mut call: Call<'_>) -> Result<Answer, ArgumentError> {
        let Arguments { path, depth } = call.arguments()?;
        let depth = u32::try_from(depth.unwrap_or(1)).unwrap_or(u32::MAX);
        let list = async {
            let path = path.as_deref().unwrap_or(".");
            let (entries, more) = call.workplace.list(path, depth, ENTRIES).await?;
            Ok(self.listed(&entries, more))
        };
        Ok(call.within(self.0.timeout, list).await)
    }
}
