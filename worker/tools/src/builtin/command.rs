//! Commands of `bash` and `python`: started, followed, and their output.

mod editor;
mod ending;
mod sink;

use std::{fmt::Debug, marker::PhantomData, time::Duration};

use async_trait::async_trait;
use evonic_shared::{backoff::Backoff, error_chain::ErrorChain};
use schemars::JsonSchema;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use self::{
    ending::{answer, not_started},
    sink::OutputSink,
};
use super::Limits;
use crate::{
    Answer, ArgumentError, Call, Effect, Ending, Loss, Tool, ToolResult, ToolSpec, format,
    output::Live, tool::spec,
};
use evonic_workplace::{Backend, Class, CommandSpec, Ended, Finished, Unknown, WorkplaceError};

/// Pieces of output between the machine and the reader.
const PIECES: usize = 4;

/// A machine that is out of reach while a command runs there is tried for as long as the command
/// may run, and this much longer.
const MARGIN: Duration = Duration::from_secs(60);
/// The first pause between two such attempts; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest pause between two such attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Options that `bash` and `python` share.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct Options {
    /// After how many seconds it is killed, with everything it started.
    #[schemars(range(min = 1))]
    timeout_seconds: Option<u64>,
    /// The folder to run in, relative to the workplace. Default: the workplace itself.
    #[schemars(length(min = 1))]
    folder: Option<String>,
}

/// What a call runs.
pub(super) struct Command {
    pub(super) argv: Vec<String>,
    pub(super) stdin: String,
    pub(super) options: Options,
}

/// The arguments of a tool that runs a program.
pub(super) trait Program:
    DeserializeOwned + JsonSchema + Debug + Send + Sync + 'static
{
    /// The tool's name.
    const NAME: &'static str;
    /// What it does, for the model.
    const DESCRIPTION: &'static str;

    /// What these arguments run.
    ///
    /// # Errors
    /// What the model is told when they cannot be used.
    fn command(self) -> Result<Command, String>;
}

/// A tool that runs programs within the operator's limits.
#[derive(Debug)]
pub(super) struct Runner<P> {
    limits: Limits,
    program: PhantomData<P>,
}

#[async_trait]
impl<P: Program> Tool for Runner<P> {
    /// The schema states the operator's time limit.
    fn spec(&self) -> ToolSpec {
        let mut spec = spec::<P>(P::NAME, P::DESCRIPTION, Effect::Change, Ending::Own);
        let seconds = self.limits.timeout.as_secs().max(1);
        let timeout = &mut spec.schema["properties"]["timeout_seconds"];
        if let Value::String(text) = &mut timeout["description"] {
            text.push_str(&format!(" Default, and the most: {seconds}."));
        }
        spec
    }

    async fn run(&self, call: Call<'_>) -> Result<Answer, ArgumentError> {
        self.execute(call, None).await
    }

    async fn resume(&self, call: Call<'_>, output_offset: u64) -> Result<Answer, ArgumentError> {
        self.execute(call, Some(output_offset)).await
    }
}

impl<P: Program> Runner<P> {
    pub(super) const fn new(limits: Limits) -> Self {
        Self { limits, program: PhantomData }
    }

    /// Starts a program; follows the one that was started before when there is an
    /// `output_offset`, of whose output so many bytes were shown.
    async fn execute(
        &self,
        mut call: Call<'_>,
        output_offset: Option<u64>,
    ) -> Result<Answer, ArgumentError> {
        let command = match call.arguments::<P>()?.command() {
            Ok(command) => command,
            Err(refusal) => return Ok(ToolResult::error(refusal).into()),
        };
        let Command { argv, stdin, options: Options { timeout_seconds, folder } } = command;
        let most = self.limits.timeout;
        let timeout = timeout_seconds.map_or(most, |asked| Duration::from_secs(asked).min(most));
        let spec = CommandSpec {
            argv,
            stdin: stdin.into(),
            folder: folder.unwrap_or_default(),
            timeout,
            command_id: call.command_id.to_owned(),
        };
        let max_bytes = self.limits.max_output_bytes;
        let live = Live::new(call.output, call.cancel, max_bytes, output_offset.unwrap_or(0));
        // Fires also when it waits for keys that nobody presses.
        let stop = call.cancel.child_token();
        let mut sink = OutputSink::new(max_bytes, live, stop.clone());
        let output_offset = match output_offset {
            None => {
                let (sender, receiver) = mpsc::channel(PIECES);
                let run = call.workplace.commands().run(spec, sender, &stop);
                match tokio::join!(run, sink.take_in(receiver)).0 {
                    // It may run: to follow it is to find out.
                    Ok(Finished { ended: Ended::Unknown(Unknown::OutOfReach), .. }) => 0,
                    Ok(finished) => return Ok(answer(sink.end().await, finished, timeout)),
                    Err(error) => return Ok(not_started(error).into()),
                }
            }
            Some(output_offset) => output_offset,
        };
        let shown = output_offset.min(max_bytes as u64);
        let follower = Follower {
            workplace: call.workplace.as_ref(),
            command_id: call.command_id,
            cancel: &stop,
        };
        let finished = follower.follow(shown, timeout, &mut sink).await;
        let output = sink.end().await;
        Ok(match finished {
            Ok(finished) => answer(output, finished, timeout),
            Err(why) => Answer::Lost(Loss { why, output: output.text, runs_on: true }),
        })
    }
}

/// Follows a command that was started before.
struct Follower<'c> {
    workplace: &'c dyn Backend,
    command_id: &'c str,
    cancel: &'c CancellationToken,
}

impl Follower<'_> {
    /// Follows it from byte `shown` of its output on. Its machine may be out of reach for as long
    /// as the command may run, and a little longer. `Err` says why it cannot be followed.
    async fn follow(
        &self,
        shown: u64,
        timeout: Duration,
        sink: &mut OutputSink<'_>,
    ) -> Result<Finished, String> {
        let begun = Instant::now();
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        loop {
            let error = match self.attach(shown, sink).await {
                Ok(finished) => return Ok(finished),
                Err(error) => error,
            };
            let tried = begun.elapsed();
            if error.class() == Class::Permanent {
                return Err(format!("its machine refuses ({})", ErrorChain(&error)));
            }
            let pause = backoff.next_ceiling();
            if self.cancel.is_cancelled() || tried + pause > timeout + MARGIN {
                let seconds = format::plural(tried.as_secs(), "second", "seconds");
                let error = ErrorChain(&error);
                return Err(format!("its machine has been out of reach for {seconds} ({error})"));
            }
            tracing::warn!(
                command_id = self.command_id,
                error = &error as &dyn std::error::Error,
                retry_ms = pause.as_millis(),
                "command out of reach; trying again"
            );
            // A cancel is tried at once: to follow is to kill then.
            self.cancel.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
    }

    /// Reads what was shown before, for the result, and follows the command from there on.
    async fn attach(
        &self,
        shown: u64,
        sink: &mut OutputSink<'_>,
    ) -> Result<Finished, WorkplaceError> {
        if sink.offset < shown {
            match self.workplace.commands().output(self.command_id, 0, shown).await {
                Ok(head) => sink.look(&head),
                Err(error) if error.class() == Class::Transient => return Err(error),
                // Following it gives the same error, and what has become of it.
                Err(_) => {}
            }
            sink.offset = shown;
        }
        let (sender, receiver) = mpsc::channel(PIECES);
        let attach =
            self.workplace.commands().attach(self.command_id, sink.offset, sender, self.cancel);
        tokio::join!(attach, sink.take_in(receiver)).0
    }
}
