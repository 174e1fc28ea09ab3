//! Every tool at one workplace.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    Answer, Call, Piece, Registry, ToolResult, answer::MAX_ERROR_BYTES, arguments, output::capped,
    reach::Reach,
};
use evonic_domain::ToolCall;
use evonic_shared::error_chain::ErrorChain;
use evonic_workplace::Backend;

/// Every tool at one workplace. Shared by cloning.
#[derive(Clone, Debug)]
pub struct Toolbox {
    registry: Registry,
    workplace: Arc<dyn Backend>,
    pub(crate) reach: Option<Arc<Reach>>,
}

impl Toolbox {
    /// The tools at this workplace, with none beside it.
    #[must_use]
    pub const fn new(registry: Registry, workplace: Arc<dyn Backend>) -> Self {
        Self { registry, workplace, reach: None }
    }

    /// Runs a call; where there is an `output_offset`, continues one whose worker ended while it
    /// ran: follows its command, of whose output so many bytes were shown, or looks at what it left,
    /// and starts nothing.
    ///
    /// Output goes to `output` as it comes, as text (bytes that are no UTF-8
    /// replaced), and is bounded: a slow reader slows no other call, and after
    /// `tools.max_output_bytes` a note takes the place of the rest, whose end is in the result.
    /// An unknown tool, arguments that do not fit its schema, and a failing tool are results with
    /// [`evonic_domain::Outcome::Error`] that say what is wrong and name the field. When `cancel`
    /// fires, everything it started is killed; a file that is being written is finished. When the
    /// future is dropped, a command runs on.
    pub async fn run(
        &self,
        call: &ToolCall,
        command_id: &str,
        output_offset: Option<u64>,
        output: mpsc::Sender<Piece>,
        cancel: &CancellationToken,
    ) -> Answer {
        if output_offset.is_none() && cancel.is_cancelled() {
            return ToolResult::cancelled().into();
        }
        let Some(tool) = self.registry.get(&call.name) else {
            let known = self.registry.names().collect::<Vec<_>>().join(", ");
            let unknown = format!("there is no tool {:?}; there are {known}", call.name);
            return ToolResult::error(unknown).into();
        };
        let checked = arguments::check(&tool.spec.schema, tool.validator(), &call.arguments);
        let answer = match checked {
            Err(error) => Err(error),
            Ok(arguments) => {
                let (workplace, reach) = (&self.workplace, self.reach.as_deref());
                let call = Call { arguments, command_id, output, cancel, workplace, reach };
                match output_offset {
                    None => tool.tool.run(call).await,
                    Some(output_offset) => tool.tool.resume(call, output_offset).await,
                }
            }
        };
        let answer = answer.unwrap_or_else(|error| {
            // It may repeat an argument.
            let error = capped(&error.to_string(), MAX_ERROR_BYTES);
            ToolResult::error(format!("{}: {error}", call.name)).into()
        });
        match self.workplace.news() {
            Some(news) => with_news(answer, &capped(&news, MAX_ERROR_BYTES)),
            None => answer,
        }
    }

    /// Leaves a trace of a command that is about to be started, where its kind of workplace keeps
    /// any: see `reserve` of the backend's commands.
    ///
    /// # Errors
    /// Why there is none. The command can be started all the same.
    pub async fn reserve(&self, command_id: &str) -> Result<(), String> {
        let reserved = self.workplace.commands().reserve(command_id).await;
        reserved.map_err(|error| ErrorChain(&error).to_string())
    }

    /// Kills the command of this id. Returns how many processes of it there were.
    ///
    /// # Errors
    /// Why it cannot be known whether it still runs.
    pub async fn kill(&self, command_id: &str) -> Result<u32, String> {
        self.workplace
            .commands()
            .kill(command_id)
            .await
            .map_err(|error| ErrorChain(&error).to_string())
    }

    /// Says that a call's result is safe: its record is removed, soon.
    pub fn forget(&self, command_id: &str) {
        self.workplace.commands().forget(command_id);
    }
}

/// An answer, and before it what became of the workplace meanwhile.
fn with_news(answer: Answer, news: &str) -> Answer {
    match answer {
        Answer::Known(mut result) => {
            result.content = format!("[{news}]\n{}", result.content);
            Answer::Known(result)
        }
        Answer::Lost(mut loss) => {
            loss.why = format!("{} ({news})", loss.why);
            Answer::Lost(loss)
        }
    }
}
