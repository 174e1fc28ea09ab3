//! What a tool is, and what it is given of a call.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{Answer, ArgumentError, Loss, Piece, ToolResult, format, reach::Reach, schema};
use evonic_domain::{Effect, Ending, ToolSpec};
use evonic_workplace::{Backend, WorkplaceError};

/// A tool.
#[async_trait]
pub trait Tool: fmt::Debug + Send + Sync {
    /// What a model and the agent know of it. Asked for once, when the tool is registered.
    fn spec(&self) -> ToolSpec;

    /// Runs a call. Once [`Call::cancel`] fires, everything it started is to be stopped; the
    /// future may be dropped some time later.
    ///
    /// # Errors
    /// [`ArgumentError`] when the arguments cannot be used. All else is an answer.
    async fn run(&self, call: Call<'_>) -> Result<Answer, ArgumentError>;

    /// Continues a call whose worker ended while it ran, or finds out what it left. Starts
    /// nothing. `output_offset` bytes of its output were shown. By default the outcome cannot be known.
    ///
    /// # Errors
    /// As [`Tool::run`].
    async fn resume(&self, _call: Call<'_>, _output_offset: u64) -> Result<Answer, ArgumentError> {
        Ok(Answer::Lost(Loss::because("it ended with its worker")))
    }
}

/// What is known of a tool whose arguments are `A`.
pub(crate) fn spec<A: JsonSchema>(
    name: &str,
    description: &str,
    effect: Effect,
    ending: Ending,
) -> ToolSpec {
    let (name, description) = (name.to_owned(), description.to_owned());
    ToolSpec { name, description, schema: schema::<A>(), effect, ending }
}

/// A call of a tool, its arguments checked against the tool's schema.
#[derive(Debug)]
pub struct Call<'c> {
    pub(crate) arguments: Value,
    /// Names what the call starts, for ever.
    pub command_id: &'c str,
    /// Takes output as it comes. Bounded: a slow reader slows the tool.
    pub output: mpsc::Sender<Piece>,
    /// Fires when the call is to stop.
    pub cancel: &'c CancellationToken,
    /// Where the tool acts.
    pub workplace: &'c Arc<dyn Backend>,
    /// The workplaces beside it.
    pub(crate) reach: Option<&'c Reach>,
}

impl Call<'_> {
    /// Takes the arguments.
    ///
    /// # Errors
    /// [`ArgumentError`], with the field, when they pass the schema and do not fit `T`.
    pub fn arguments<T: DeserializeOwned>(&mut self) -> Result<T, ArgumentError> {
        serde_path_to_error::deserialize(self.arguments.take())
            .map_err(|error| ArgumentError(error.to_string()))
    }

    /// Runs what may be dropped at any time, until it is cancelled or `limit` is over.
    pub async fn within(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<ToolResult, WorkplaceError>>,
    ) -> Answer {
        let work = tokio::time::timeout(limit, work);
        let result = match self.cancel.run_until_cancelled(work).await {
            Some(Ok(result)) => result.unwrap_or_else(ToolResult::from),
            Some(Err(_)) => {
                let seconds = format::count(limit.as_secs());
                ToolResult::error(format!("[timed out after {seconds} s]"))
            }
            None => ToolResult::cancelled(),
        };
        result.into()
    }
}
