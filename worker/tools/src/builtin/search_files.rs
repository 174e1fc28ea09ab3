//! `search_files`.

use std::fmt::Write as _;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Limits;
use crate::{
    Answer, ArgumentError, Call, Effect, Ending, Tool, ToolResult, ToolSpec, format,
    output::capped, tool::spec,
};
use evonic_workplace::Found;

const DESCRIPTION: &str = "Finds the lines that match a regular expression, as PATH:LINE:TEXT. Honours .gitignore; \
     passes over .git and binary files.";

/// The most lines that one search returns.
const MATCHES: u32 = 200;

#[derive(Debug, Deserialize, JsonSchema)]
struct Arguments {
    /// A regular expression (Rust syntax), matched line by line; (?i) at its beginning ignores
    /// case.
    #[schemars(length(min = 1))]
    pattern: String,
    /// The folder or file to search. Default: the whole workplace, relative to the workplace. ~ is
    /// not expanded.
    #[schemars(length(min = 1))]
    path: Option<String>,
    /// Only files whose path matches: *.rs at any depth, src/** below the folder that is searched,
    /// !*.md leaves out.
    #[schemars(length(min = 1))]
    glob: Option<String>,
}

#[derive(Debug)]
pub(super) struct SearchFiles(pub(super) Limits);

impl SearchFiles {
    fn found(&self, found: &Found) -> ToolResult {
        let mut text = String::new();
        for found in &found.matches {
            let path = format::path(&found.path);
            let _infallible = writeln!(text, "{path}:{}:{}", found.line, found.text);
        }
        let mut text = capped(&text, self.0.max_output_bytes);
        if found.more && found.matches.len() as u64 >= u64::from(MATCHES) {
            let shown = format::count(found.matches.len() as u64);
            let _infallible = writeln!(
                text,
                "[the first {shown} lines; there are more: narrow the pattern, path or glob]"
            );
        } else if found.more {
            let shown = match found.matches.len() as u64 {
                0 => "no line matches in what was read".to_owned(),
                some => format!("{} in what was read", format::plural(some, "line", "lines")),
            };
            let _infallible = writeln!(
                text,
                "[{shown}; the rest was not: a search reads 1 GiB in a minute at most, so narrow \
                 the path or glob]"
            );
        } else if found.matches.is_empty() {
            text.push_str("[no line matches]\n");
        }
        if found.unreadable > 0 {
            let unreadable = u64::from(found.unreadable);
            let unreadable = format::plural(unreadable, "file or folder", "files or folders");
            let _infallible = writeln!(text, "[{unreadable} could not be read]");
        }
        if found.ignores_cut > 0 {
            let cut = format::plural(
                u64::from(found.ignores_cut),
                ".gitignore has more rules than are followed",
                ".gitignore files have more rules than are followed",
            );
            let _infallible = writeln!(text, "[{cut}: more was searched than they say]");
        }
        ToolResult::ok(text)
    }
}

#[async_trait]
impl Tool for SearchFiles {
    fn spec(&self) -> ToolSpec {
        spec::<Arguments>("search_files", DESCRIPTION, Effect::Read, Ending::WithWorker)
    }

    async fn run(&self, mut call: Call<'_>) -> Result<Answer, ArgumentError> {
        let Arguments { pattern, path, glob } = call.arguments()?;
        let path = path.as_deref().unwrap_or(".");
        let search = async {
            let found = call.workplace.search(&pattern, path, glob.as_deref(), MATCHES).await?;
            Ok(self.found(&found))
        };
        Ok(call.within(self.0.timeout, search).await)
    }
}
