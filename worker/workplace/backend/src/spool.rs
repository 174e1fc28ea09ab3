//! Commands that outlive the worker, its connections and the engine.
//!
//! Every command runs under a small POSIX shell in a session of its own, with a folder of its own
//! on its own machine: the spool, where its state is read.
//!
//! ```text
//! SPOOLS/COMMAND_ID/      made by `mkdir`, which only one shell can do: the command runs once
//!     watcher             pid and start time of the shell that watches over it, boot, limits
//!     in                  standard input
//!     out                 standard output and error, appended in their order
//!     status              one line, written last: how it ended, what was left behind and killed
//! ```
//!
//! - `out` is written by a `cat` through a pipe, not by the command itself: a command that opens
//!   `/dev/stderr` would truncate a file.
//! - The **launcher** is attached: it makes the folder, starts the watcher detached, shows the
//!   output, and prints the status at the end. It may die at any time.
//! - The **watcher** leads a session of its own, starts the command, keeps its time and its output
//!   within their limits, kills what it leaves behind, writes the status.
//! - A **follower** is attached later, from a byte on.
//! - Processes are found by their session, and by the command id in their environment (`EVONIC_CALL`).

mod follow;
mod forgotten;
mod framed;
mod output_parser;
mod retry;
mod run;
mod script;
mod scripts;
mod shell;
mod status;
mod validation;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use evonic_shared::config;
use rustix::io::Errno;
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

use self::{
    follow::{LONGEST, Outcome},
    output_parser::{Sink, refused, run_parsed},
    retry::Retry,
};
pub use self::{
    forgotten::Forgotten,
    framed::run_framed,
    run::{FLOOD_BYTES, Gathered, OutputSink, gather, run_script},
    script::LOGIN_COMMAND,
    shell::{Purpose, Script, ScriptEnd, ScriptOutput, Shell},
    status::read as read_status,
    validation::{check, check_command_id, too_long},
};
use crate::{CommandSpec, Commands, Ended, Finished, Result, Stage, Unknown, WorkplaceError};

/// How long the last output of a cancelled command is waited for, once it is dead: a cancel takes
/// less than a second in all.
const LAST_OUTPUT: Duration = Duration::from_millis(700);

/// After this time what kills a cancelled command gets the place of what follows it.
const GIVE_WAY: Duration = Duration::from_secs(3);

/// How long a script that follows nothing may take, whatever signs of life it gives.
const SERVING: Duration = Duration::from_secs(600);

/// How long a command may go on after its time, which its own machine keeps: connections break, and
/// machines sleep.
const OVERDUE: Duration = Duration::from_secs(900);

/// Bytes that a command may write before its watcher, which looks every second, sees that they are
/// too many; beside as much again as it may, thrice.
const OVERSHOOT_BYTES: u64 = 512 << 20;

/// The commands of one machine. Shared by cloning.
#[derive(Clone, Debug)]
pub struct Spool {
    shell: Arc<dyn Shell>,
    settings: config::Spool,
    forgotten: Arc<Forgotten>,
    /// How long a command may be overdue.
    overdue: Duration,
    /// Bytes that are read beyond what it may write.
    overshoot: u64,
}

impl Spool {
    /// The commands of the machine behind this shell.
    pub fn new(shell: Arc<dyn Shell>, settings: config::Spool) -> Self {
        Self {
            shell,
            settings,
            forgotten: Arc::default(),
            overdue: OVERDUE,
            overshoot: OVERSHOOT_BYTES,
        }
    }

    /// With what others forgot of the same machine.
    #[must_use]
    pub fn sharing(self, forgotten: Arc<Forgotten>) -> Self {
        Self { forgotten, ..self }
    }
}

#[async_trait]
impl Commands for Spool {
    async fn run(
        &self,
        spec: CommandSpec,
        output: mpsc::Sender<Bytes>,
        cancel: &CancellationToken,
    ) -> Result<Finished> {
        check(&spec)?;
        if cancel.is_cancelled() {
            return Ok(Finished { ended: Ended::Cancelled, left_behind: 0 });
        }
        if let Some(why) = too_long(&spec) {
            return Ok(Finished { ended: Ended::NotStarted(why), left_behind: 0 });
        }
        let launch = self.launch(&spec).await?;
        let following = async {
            let followed = self.follow(&spec.command_id, 0, Some(launch), &output);
            let limit = spec.timeout.min(LONGEST) + self.overdue;
            let outcome = timeout(limit, followed).await.unwrap_or_else(|_| {
                let said = "the command does not end, long after its time";
                let error = WorkplaceError::unreachable("shell", Stage::Follow, said);
                Outcome::Failed { error, certain: false }
            });
            Ok(match outcome {
                Outcome::Finished(finished) => finished,
                Outcome::Refused(why) => Finished { ended: Ended::NotStarted(why), left_behind: 0 },
                Outcome::Failed { error, certain: true } => return Err(error),
                Outcome::Failed { error, certain: false } => {
                    tracing::warn!(%error, command_id = spec.command_id, "a command's machine is out of reach");
                    Finished { ended: Ended::Unknown(Unknown::OutOfReach), left_behind: 0 }
                }
            })
        };
        self.until_cancelled(&spec.command_id, following, cancel).await
    }

    async fn attach(
        &self,
        command_id: &str,
        from: u64,
        output: mpsc::Sender<Bytes>,
        cancel: &CancellationToken,
    ) -> Result<Finished> {
        check_command_id(command_id)?;
        let following = async {
            match self.follow(command_id, from, None, &output).await {
                Outcome::Finished(finished) => Ok(finished),
                Outcome::Refused(why) => Err(refused(why)),
                Outcome::Failed { error, .. } => Err(error),
            }
        };
        self.until_cancelled(command_id, following, cancel).await
    }

    async fn output(&self, command_id: &str, from: u64, limit: u64) -> Result<Bytes> {
        check_command_id(command_id)?;
        let mut retry = Retry::new();
        loop {
            let mut memory = BytesMut::new();
            let arguments = vec![command_id.to_owned(), from.to_string(), limit.to_string()];
            let text = scripts::join(&[scripts::COMMON, scripts::SHOW, scripts::OUTPUT]);
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let line = self.serve(Stage::Output, text, arguments, (&mut memory, limit)).await;
            let error = match line {
                Ok(line) if line == "shown" => return Ok(memory.freeze()),
                Ok(_missing) => {
                    let path = format!("output of {command_id}");
                    return Err(WorkplaceError::path("read", path, Errno::NOENT));
                }
                Err(error) => error,
            };
            retry.wait(error).await?;
        }
    }

    async fn kill(&self, command_id: &str) -> Result<u32> {
        check_command_id(command_id)?;
        let mut retry = Retry::new();
        loop {
            let text = scripts::join(&[scripts::COMMON, scripts::SHOW, scripts::KILL]);
            let arguments = vec![command_id.to_owned()];
            let silent = (&mut BytesMut::new(), 0);
            let line = self.serve(Stage::Kill, text, arguments, silent).await;
            let error = match line {
                Ok(line) => match line.strip_prefix("killed ").map(str::parse) {
                    Some(Ok(count)) => return Ok(count),
                    _ => return Err(refused(line)),
                },
                Err(error) => error,
            };
            retry.wait(error).await?;
        }
    }

    /// What is forgotten is removed by the next script that launches or follows there, or by
    /// [`Spool::tidy`].
    fn forget(&self, command_id: &str) {
        if check_command_id(command_id).is_ok() {
            self.forgotten.add([command_id.to_owned()]);
        }
    }
}

impl Spool {
    /// Removes what was forgotten, and records older than `spool.keep` whose command has ended.
    ///
    /// # Errors
    /// [`WorkplaceError`].
    pub async fn tidy(&self) -> Result<()> {
        loop {
            let text = scripts::join(&[scripts::COMMON, scripts::SHOW, scripts::TIDY]);
            let forgotten = self.forgotten.take();
            let minutes = self.settings.keep.as_secs() / 60;
            let arguments = vec![forgotten.join(" "), minutes.to_string()];
            let silent = (&mut BytesMut::new(), 0);
            let line = self.serve(Stage::CleanUp, text, arguments, silent).await;
            match line {
                Ok(line) if line != "tidied" => return Err(refused(line)),
                Ok(_) if forgotten.is_empty() => return Ok(()),
                Ok(_) => {}
                Err(error) => {
                    self.forgotten.add(forgotten);
                    return Err(error);
                }
            }
        }
    }

    /// Runs a script of the service and returns its last line. `arguments` come after the folder
    /// of all spools; its output has at most so many bytes.
    async fn serve(
        &self,
        stage: Stage,
        text: String,
        arguments: Vec<String>,
        (memory, limit): (&mut BytesMut, usize),
    ) -> Result<String> {
        let serving = async {
            let arguments = [vec![self.shell.spools().await?], arguments].concat();
            let script = Script { text, arguments, input: Bytes::new(), purpose: Purpose::Serve };
            let sink = Sink::Memory { memory, limit };
            let (_, result) = run_parsed(&*self.shell, script, sink).await;
            result?.final_line(stage)
        };
        timeout(SERVING, serving).await.unwrap_or_else(|_| {
            let said = format!("it is not done within {} s", SERVING.as_secs());
            Err(WorkplaceError::unreachable("shell", stage, said))
        })
    }

    /// Kills the command when `cancel` fires; the rest of its output is still handed on, if that
    /// is quick.
    async fn until_cancelled(
        &self,
        command_id: &str,
        following: impl Future<Output = Result<Finished>> + Send,
        cancel: &CancellationToken,
    ) -> Result<Finished> {
        let mut following = Some(Box::pin(following));
        tokio::select! {
            result = async { following.as_mut().expect("it is followed").await } => return result,
            () = cancel.cancelled() => {}
        }
        let killing = self.kill(command_id);
        let late = tokio::time::sleep(GIVE_WAY);
        tokio::pin!(killing, late);
        let mut followed = None;
        let killed = loop {
            tokio::select! {
                killed = &mut killing => break killed,
                result = async { following.as_mut().expect("it is followed").await },
                    if following.is_some() => (followed, following) = (Some(result), None),
                // A host may let nothing be done beside what follows the command.
                () = &mut late, if following.is_some() => following = None,
            }
        };
        if let Some(following) = following.filter(|_| killed.is_ok()) {
            followed = timeout(LAST_OUTPUT, following).await.ok();
        }
        match (followed, killed) {
            // It may have ended by itself just before.
            (Some(Ok(finished)), _) if !matches!(finished.ended, Ended::Unknown(_)) => Ok(finished),
            (_, Ok(left_behind)) => Ok(Finished { ended: Ended::Cancelled, left_behind }),
            (_, Err(error)) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
