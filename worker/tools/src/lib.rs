//! What a model may call: `bash`, `python`, `read_file`, `write_file`, `edit_file`, `list_files`,
//! `search_files`, `copy`.
//!
//! A tool never fails as a function: what went wrong is a result that says so in words a model
//! can act on. Nothing is left out silently: every cut is told, with sizes, and with what to ask
//! for to see the rest. Only what nobody can know is no result: a [`Loss`].

mod answer;
mod arguments;
mod catalogue;
mod command;
mod copy;
mod edit;
mod figures;
mod file;
mod look;
mod output;
mod toolboxes;

use std::sync::Arc;

use evonic_shared::config;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use self::{
    answer::{Answer, Loss, ToolResult},
    toolboxes::{Toolboxes, User},
};
pub use evonic_domain::{Effect, Ending, ToolSpec};

use self::{catalogue::Tool, toolboxes::Reach};
use evonic_domain::ToolCall;
use evonic_store::PendingCall;
use evonic_workplace::Backend;

/// Output of a call, as it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The text.
    pub text: String,
    /// How many bytes of a command's output have been shown with it; [`Piece::ALL`] when it says
    /// that no more is.
    pub output_offset: u64,
}

impl Piece {
    /// Stands for all of an output, however long it becomes.
    pub const ALL: u64 = PendingCall::ALL;
}

/// Every tool, at one workplace.
#[derive(Clone, Debug)]
pub struct Toolbox {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    workplace: Arc<dyn Backend>,
    settings: config::Tools,
    /// What `copy` reaches beside the workplace.
    reach: Option<Reach>,
}

impl Toolbox {
    /// The tools at this workplace, with none beside it.
    #[must_use]
    pub fn new(workplace: Arc<dyn Backend>, settings: &config::Tools) -> Self {
        Self { inner: Arc::new(Inner { workplace, settings: settings.clone(), reach: None }) }
    }

    fn reaching(workplace: Arc<dyn Backend>, settings: &config::Tools, reach: Reach) -> Self {
        let (settings, reach) = (settings.clone(), Some(reach));
        Self { inner: Arc::new(Inner { workplace, settings, reach }) }
    }

    /// The names of every tool, in the order in which a model is told of them.
    #[must_use]
    pub fn names() -> &'static [&'static str] {
        &Tool::NAMES
    }

    /// The named tools, every one when [`None`]; unknown names are passed over.
    #[must_use]
    pub fn specs(&self, names: Option<&[String]>) -> Vec<ToolSpec> {
        Self::specs_of(names, &self.inner.settings)
    }

    fn specs_of(names: Option<&[String]>, settings: &config::Tools) -> Vec<ToolSpec> {
        let is_named =
            |tool: &Tool| names.is_none_or(|names| names.iter().any(|n| n == tool.name()));
        let spec = |tool: Tool| ToolSpec {
            name: tool.name(),
            description: tool.description(),
            schema: tool.schema(settings),
            effect: tool.effect(),
            ending: tool.ending(),
        };
        Tool::ALL.into_iter().filter(is_named).map(spec).collect()
    }

    /// Runs a call. Output goes to `output` as it comes, as text (bytes that are no UTF-8
    /// replaced), and is bounded: a slow reader slows nobody else, and after
    /// `tools.max_output_bytes` a note takes the place of the rest, whose end is in the result.
    /// An unknown tool, arguments that do not fit its schema, and a failing tool are results with
    /// [`evonic_domain::Outcome::Error`] that say what is wrong and name the field. When `cancel`
    /// fires, everything it started is killed; a file that is being written is finished. When the
    /// future is dropped, a command runs on.
    pub async fn run(
        &self,
        call: &ToolCall,
        command_id: &str,
        output: mpsc::Sender<Piece>,
        cancel: &CancellationToken,
    ) -> Answer {
        if cancel.is_cancelled() {
            return ToolResult::cancelled().into();
        }
        let caller = command::Caller { command_id, output_offset: None, output, cancel };
        self.inner.run(call, caller).await
    }

    /// Goes on with a call whose worker ended while it ran, in its place: follows its command, of
    /// whose output so many bytes were shown, or looks at what it left. Starts nothing. Beyond
    /// that as [`Toolbox::run`].
    pub async fn resume(
        &self,
        call: &ToolCall,
        command_id: &str,
        output_offset: u64,
        output: mpsc::Sender<Piece>,
        cancel: &CancellationToken,
    ) -> Answer {
        let caller =
            command::Caller { command_id, output_offset: Some(output_offset), output, cancel };
        self.inner.run(call, caller).await
    }

    /// Kills the command of this command id. Returns how many processes of it there were.
    ///
    /// # Errors
    /// Why nobody can know whether it still runs.
    pub async fn kill(&self, command_id: &str) -> Result<u32, String> {
        self.inner.workplace.kill(command_id).await.map_err(|error| answer::sentence(&error))
    }

    /// Says that a call's result is safe: its record is removed, soon.
    pub fn forget(&self, command_id: &str) {
        self.inner.workplace.forget(command_id);
    }
}

impl Inner {
    async fn run(&self, call: &ToolCall, caller: command::Caller<'_>) -> Answer {
        let Some(tool) = Tool::named(&call.name) else {
            let known = Tool::NAMES.join(", ");
            let unknown = format!("there is no tool {:?}; there are {known}", call.name);
            return ToolResult::error(unknown).into();
        };
        let schema = tool.schema(&self.settings);
        match self.act(tool, &schema, &call.arguments, caller).await {
            Ok(answer) => answer,
            Err(problem) => ToolResult::error(format!("{}: {problem}", tool.name())).into(),
        }
    }

    /// `Err` is what is wrong with the arguments.
    async fn act(
        &self,
        tool: Tool,
        schema: &serde_json::Value,
        arguments: &str,
        caller: command::Caller<'_>,
    ) -> Result<Answer, String> {
        let (cancel, resumes) = (caller.cancel, caller.output_offset.is_some());
        let read = match tool {
            Tool::Bash => return Ok(self.bash(arguments::parse(schema, arguments)?, caller).await),
            Tool::Python => {
                return Ok(self.python(arguments::parse(schema, arguments)?, caller).await);
            }
            Tool::WriteFile if resumes => {
                return Ok(self.look_written(arguments::parse(schema, arguments)?).await);
            }
            Tool::EditFile if resumes => {
                return Ok(self.look_edited(arguments::parse(schema, arguments)?).await);
            }
            Tool::ReadFile | Tool::ListFiles | Tool::SearchFiles | Tool::Copy if resumes => {
                return Ok(Answer::Lost(Loss::because("it ended with its worker")));
            }
            Tool::WriteFile => self.write_file(arguments::parse(schema, arguments)?).await,
            Tool::EditFile => self.edit_file(arguments::parse(schema, arguments)?).await,
            Tool::Copy => return Ok(self.copy(arguments::parse(schema, arguments)?, caller).await),
            Tool::ReadFile => {
                self.within(cancel, self.read_file(arguments::parse(schema, arguments)?)).await
            }
            Tool::ListFiles => {
                self.within(cancel, self.list_files(arguments::parse(schema, arguments)?)).await
            }
            Tool::SearchFiles => {
                self.within(cancel, self.search_files(arguments::parse(schema, arguments)?)).await
            }
        };
        Ok(read.into())
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
