//! What a model may call: `bash`, `python`, `read_file`, `write_file`, `edit_file`, `list_files`,
//! `search_files`.
//!
//! A tool never fails as a function: what went wrong is a result that says so in words a model
//! can act on. Nothing is left out silently: every cut is told, with sizes, and with what to ask
//! for to see the rest.

mod arguments;
mod catalogue;
mod command;
mod edit;
mod figures;
mod file;
mod output;

use std::sync::Arc;

use evonic_shared::config;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::catalogue::Tool;
use crate::{
    domain::{Outcome, ToolCall},
    workplace::{Place, WorkplaceError},
};

/// What a tool does to the world; decides what happens when its worker dies while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It only reads: it may be run again.
    Read,
    /// It changes something: it is never run again by itself; the agent is told.
    Change,
}

/// A tool as a model is told of it.
#[derive(Clone, Debug)]
pub struct ToolSpec {
    /// Its name.
    pub name: &'static str,
    /// What it does, for the model.
    pub description: &'static str,
    /// JSON Schema 2020-12 of its arguments, with `additionalProperties: false`.
    pub schema: serde_json::Value,
    /// What it does to the world.
    pub effect: Effect,
}

/// What a tool returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolResult {
    /// How it ended: never [`Outcome::Unknown`].
    pub outcome: Outcome,
    /// What the model is shown: capped, sizes told.
    pub content: String,
}

impl ToolResult {
    fn ok(content: String) -> Self {
        Self { outcome: Outcome::Ok, content }
    }

    fn error(content: String) -> Self {
        Self { outcome: Outcome::Error, content }
    }

    fn cancelled() -> Self {
        Self { outcome: Outcome::Cancelled, content: "[cancelled]".to_owned() }
    }
}

impl From<WorkplaceError> for ToolResult {
    /// The error with its causes in one line.
    fn from(error: WorkplaceError) -> Self {
        let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source());
        Self::error(causes.map(ToString::to_string).collect::<Vec<_>>().join(": "))
    }
}

/// Every tool, at one workplace.
#[derive(Clone, Debug)]
pub struct Toolbox {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    workplace: Arc<dyn Place>,
    settings: config::Tools,
}

impl Toolbox {
    /// The tools at this workplace.
    #[must_use]
    pub fn new(workplace: Arc<dyn Place>, settings: &config::Tools) -> Self {
        Self { inner: Arc::new(Inner { workplace, settings: settings.clone() }) }
    }

    /// The names of every tool, in the order in which a model is told of them.
    #[must_use]
    pub fn names() -> &'static [&'static str] {
        &Tool::NAMES
    }

    /// The named tools, every one when [`None`]; unknown names are passed over.
    #[must_use]
    pub fn specs(&self, names: Option<&[String]>) -> Vec<ToolSpec> {
        let is_named =
            |tool: &Tool| names.is_none_or(|names| names.iter().any(|n| n == tool.name()));
        let spec = |tool: Tool| ToolSpec {
            name: tool.name(),
            description: tool.description(),
            schema: tool.schema(&self.inner.settings),
            effect: tool.effect(),
        };
        Tool::ALL.into_iter().filter(is_named).map(spec).collect()
    }

    /// Runs a call. Output goes to `output` as it comes, as text (bytes that are no UTF-8
    /// replaced), and is bounded: a slow reader slows the tool, and after
    /// `tools.max_output_bytes` a note takes the place of the rest, whose end is in the result.
    /// An unknown tool, arguments that do not fit its schema, and a failing tool are results with
    /// [`Outcome::Error`] that say what is wrong and name the field. When `cancel` fires,
    /// everything it started is killed; a file that is being written is finished.
    pub async fn run(
        &self,
        call: &ToolCall,
        mark: &str,
        output: mpsc::Sender<String>,
        cancel: &CancellationToken,
    ) -> ToolResult {
        let Some(tool) = Tool::named(&call.name) else {
            let known = Tool::NAMES.join(", ");
            return ToolResult::error(format!(
                "there is no tool {:?}; there are {known}",
                call.name
            ));
        };
        if cancel.is_cancelled() {
            return ToolResult::cancelled();
        }
        let caller = command::Caller { mark, output, cancel };
        let result = self.inner.run(tool, &call.arguments, caller).await;
        result.unwrap_or_else(|problem| ToolResult::error(format!("{}: {problem}", tool.name())))
    }

    /// Kills what an interrupted call left behind. Returns how many processes there were.
    pub async fn clear(&self, mark: &str) -> u32 {
        match self.inner.workplace.kill(mark).await {
            Ok(killed) => killed,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(mark, error, "what a call left behind cannot be killed");
                0
            }
        }
    }
}

impl Inner {
    /// `Err` is what is wrong with the arguments.
    async fn run(
        &self,
        tool: Tool,
        arguments: &str,
        caller: command::Caller<'_>,
    ) -> Result<ToolResult, String> {
        let schema = tool.schema(&self.settings);
        let cancel = caller.cancel;
        let result = match tool {
            Tool::Bash => self.bash(arguments::parse(&schema, arguments)?, caller).await,
            Tool::Python => self.python(arguments::parse(&schema, arguments)?, caller).await,
            Tool::WriteFile => self.write_file(arguments::parse(&schema, arguments)?).await,
            Tool::EditFile => self.edit_file(arguments::parse(&schema, arguments)?).await,
            Tool::ReadFile => {
                self.within(cancel, self.read_file(arguments::parse(&schema, arguments)?)).await
            }
            Tool::ListFiles => {
                self.within(cancel, self.list_files(arguments::parse(&schema, arguments)?)).await
            }
            Tool::SearchFiles => {
                self.within(cancel, self.search_files(arguments::parse(&schema, arguments)?)).await
            }
        };
        Ok(result)
    }

    /// Runs a tool that may be dropped at any time, for as long as a command may take.
    async fn within(
        &self,
        cancel: &CancellationToken,
        tool: impl Future<Output = ToolResult>,
    ) -> ToolResult {
        let tool = tokio::time::timeout(self.settings.timeout, tool);
        match cancel.run_until_cancelled(tool).await {
            Some(Ok(result)) => result,
            Some(Err(_)) => {
                let seconds = figures::count(self.settings.timeout.as_secs());
                ToolResult::error(format!("[timed out after {seconds} s]"))
            }
            None => ToolResult::cancelled(),
        }
    }
}

#[cfg(test)]
mod tests;
