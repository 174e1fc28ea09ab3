//! Commands of `bash` and `python`: started, followed, and their output.

use std::{fmt::Debug, marker::PhantomData, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use evonic_shared::{backoff::Backoff, error_chain::ErrorChain};
use schemars::JsonSchema;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use super::Limits;
use crate::{
    Answer, ArgumentError, Call, Effect, Ending, Loss, Tool, ToolResult, ToolSpec, format,
    output::Live,
    screen::{FULL_SCREEN, Screen},
    tool::spec,
};
use evonic_domain::Outcome;
use evonic_workplace::{Backend, Class, CommandSpec, Ended, Finished, Unknown, WorkplaceError};

/// How much of a question is repeated, from its end.
const QUESTION_CHARS: usize = 80;

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
        let mut sink = OutputSink { screen: Screen::new(max_bytes), live, offset: 0 };
        let output_offset = match output_offset {
            None => {
                let (sender, receiver) = mpsc::channel(PIECES);
                let run = call.workplace.commands().run(spec, sender, call.cancel);
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
            cancel: call.cancel,
        };
        let finished = follower.follow(shown, timeout, &mut sink).await;
        let output = sink.end().await;
        Ok(match finished {
            Ok(finished) => answer(output, finished, timeout),
            Err(why) => Answer::Lost(Loss { why, output, runs_on: true }),
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
                Ok(head) => sink.screen.push(&head),
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

/// A command's output on its two ways: into the result, and shown as it comes.
struct OutputSink<'c> {
    screen: Screen,
    live: Live<'c>,
    /// How many bytes of it have come.
    offset: u64,
}

impl OutputSink<'_> {
    async fn take_in(&mut self, mut pieces: mpsc::Receiver<Bytes>) {
        while let Some(piece) = pieces.recv().await {
            self.offset += piece.len() as u64;
            self.screen.push(&piece);
            self.live.push(&piece).await;
        }
    }

    /// The output as the model is shown it.
    async fn end(self) -> String {
        self.live.end().await;
        self.screen.end()
    }
}

/// The output, and below it in brackets how the command ended unless it just ended well.
fn answer(output: String, finished: Finished, timeout: Duration) -> Answer {
    let Finished { ended, left_behind } = finished;
    let end = match &ended {
        Ended::Exited(0) => None,
        Ended::Exited(code) => Some(format!("exit status {code}")),
        Ended::Signalled(signal) => Some(format!("killed by signal {signal}")),
        Ended::NotStarted(why) => Some(why.clone()),
        Ended::TooMuchOutput => Some(
            "wrote more than a command may and was killed, with everything it had started; send \
             what is long to a file"
                .to_owned(),
        ),
        Ended::Unstored(why) => Some(format!(
            "its output could not be stored on its machine ({why}): what it wrote after this is lost, \
             and it may have failed by that; make room there"
        )),
        Ended::Unknown(unknown) => {
            let why = reason(*unknown).to_owned();
            let runs_on = *unknown == Unknown::OutOfReach;
            return Answer::Lost(Loss { why, output, runs_on });
        }
        Ended::TimedOut => {
            let seconds = format::count(timeout.as_secs());
            let waited = question(&output).unwrap_or_default();
            Some(format!(
                "timed out after {seconds} s and was killed, with everything it had started{waited}"
            ))
        }
        Ended::Cancelled => Some("cancelled and killed, with everything it had started".to_owned()),
    };
    let outcome = match ended {
        Ended::Exited(0) => Outcome::Ok,
        Ended::Cancelled => Outcome::Cancelled,
        _ => Outcome::Error,
    };
    let mut notes = Vec::new();
    if left_behind > 0 && matches!(ended, Ended::Exited(_) | Ended::Signalled(_)) {
        let processes = format::plural(left_behind.into(), "process", "processes");
        notes.push(format!("{processes} left in the background and killed"));
    }
    notes.extend(end);
    if notes.is_empty() && output.is_empty() {
        notes.push("no output".to_owned());
    }
    let mut content = output;
    if !content.is_empty() && !content.ends_with('\n') && !notes.is_empty() {
        content.push('\n');
    }
    let notes: Vec<_> = notes.iter().map(|note| format!("[{note}]")).collect();
    content.push_str(&notes.join("\n"));
    ToolResult { outcome, content }.into()
}

/// What is known of a command that ran into its time limit while it seems to have asked something.
fn question(output: &str) -> Option<String> {
    if output.contains(FULL_SCREEN) {
        return Some("; it is a full-screen program, and there is no terminal here".to_owned());
    }
    let line = output.lines().next_back().filter(|_| !output.ends_with('\n'))?;
    let (words, lower) = (line.trim_end(), line.to_lowercase());
    let asks = words.ends_with([':', '?'])
        || line.ends_with("> ")
        || ["y/n", "yes/no"].iter().any(|choice| lower.contains(choice));
    let begin = words.char_indices().rev().nth(QUESTION_CHARS).map_or(0, |(at, _)| at);
    asks.then(|| {
        format!(
            "; its last words, {:?}, look like a question: there is no terminal here and nobody to \
             answer, so give the answer as an option or by a pipe",
            &words[begin..]
        )
    })
}

fn not_started(error: WorkplaceError) -> ToolResult {
    match &error {
        WorkplaceError::Start { program, source }
            if source.kind() == std::io::ErrorKind::NotFound =>
        {
            ToolResult::error(format!("{program} is not installed on this machine"))
        }
        _ => error.into(),
    }
}

/// Why the end of a command cannot be known.
const fn reason(unknown: Unknown) -> &'static str {
    match unknown {
        Unknown::NoRecord => {
            "there is no record of it on its machine: it never began, or its record was removed"
        }
        Unknown::Restarted => {
            "its machine was started anew, or its container stopped, while it ran"
        }
        Unknown::WatcherKilled => {
            "somebody killed the shell that watched over it, and what was left of it has been \
             killed too"
        }
        Unknown::OutOfReach => "its machine is out of reach: whether it was started cannot be told",
    }
}
