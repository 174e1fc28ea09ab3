//! Commands that outlive the worker, its connections and the engine.
//!
//! Every command runs under a small POSIX shell in its own session, with a folder of its own on its
//! own machine: the spool. Whoever wants to know reads there.
//!
//! ```text
//! SPOOLS/MARK/            made by `mkdir`, which only one shell can do: the command runs once
//!     watcher             pid and start time of the shell that watches over it, boot, limits
//!     in                  what it reads
//!     out                 standard output and error, appended in their order
//!     status              one line, last of all: how it ended, what was left behind and killed
//! ```
//!
//! - `out` is written through a pipe by a `cat`, and not by the command itself: a command that opens
//!   `/dev/stderr` would empty a file.
//! - The **launcher** is attached: it makes the folder, starts the watcher away from itself, shows
//!   the output, and says the status at the end. It may die at any time.
//! - The **watcher** leads a session of its own, starts the command, keeps its time and its output
//!   within their limits, kills what it leaves behind, writes the status.
//! - A **follower** is attached later, from a byte on.
//! - Processes are found by their session, and by the command id in their environment (`EVONIC_CALL`).

mod exchange;
mod follow;
mod forgotten;
mod patience;
mod script;
mod shell;
mod soundness;
mod status;

use std::{io, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use evonic_shared::config;
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

use self::{
    exchange::{Heard, Sink, exchange},
    follow::Outcome,
    forgotten::Forgotten,
    patience::Patience,
    soundness::{check, check_mark},
};
pub use self::{
    script::LOGIN_COMMAND,
    shell::{Purpose, Said, Script, ScriptEnd, Shell},
};
use super::{CommandSpec, Ended, Finished, Stage, Unknown, WorkplaceError};

/// The scripts: what travels, and what it is made of. See the files for what they do.
mod text {
    pub const COMMON: &str = include_str!("spool/common.sh");
    pub const SHOW: &str = include_str!("spool/show.sh");
    pub const WATCH: &str = include_str!("spool/watch.sh");
    pub const LAUNCH: &str = include_str!("spool/launch.sh");
    pub const FOLLOW: &str = include_str!("spool/follow.sh");
    pub const KILL: &str = include_str!("spool/kill.sh");
    pub const OUTPUT: &str = include_str!("spool/output.sh");
    pub const TIDY: &str = include_str!("spool/tidy.sh");
}

/// How long the last output of a cancelled command is waited for, once it is dead: a cancel takes
/// less than a second in all.
const SOON: Duration = Duration::from_millis(700);

/// The longest argument of a program, as Linux has it.
const ARGUMENT_BYTES: usize = (128 << 10) - 1;

/// The commands of one machine. Shared by cloning.
#[derive(Debug)]
pub struct Spool<S> {
    shell: Arc<S>,
    settings: config::Spool,
    forgotten: Arc<Forgotten>,
}

impl<S> Clone for Spool<S> {
    fn clone(&self) -> Self {
        Self {
            shell: Arc::clone(&self.shell),
            settings: self.settings.clone(),
            forgotten: Arc::clone(&self.forgotten),
        }
    }
}

impl<S: Shell> Spool<S> {
    /// The commands of the machine behind this shell.
    pub fn new(shell: Arc<S>, settings: config::Spool) -> Self {
        Self { shell, settings, forgotten: Arc::default() }
    }

    /// See [`super::Backend::run`].
    pub async fn run(
        &self,
        spec: CommandSpec,
        output: mpsc::Sender<Bytes>,
        cancel: &CancellationToken,
    ) -> Result<Finished, WorkplaceError> {
        check(&spec)?;
        if cancel.is_cancelled() {
            return Ok(Finished { ended: Ended::Cancelled, left_behind: 0 });
        }
        if let Some(long) = spec.argv.iter().map(String::len).find(|bytes| *bytes > ARGUMENT_BYTES)
        {
            let why = format!(
                "an argument has {long} bytes, at most {ARGUMENT_BYTES} can be handed over"
            );
            return Ok(Finished { ended: Ended::NotStarted(why), left_behind: 0 });
        }
        let launch = self.launch(&spec).await?;
        let following = async {
            Ok(match self.follow(&spec.command_id, 0, Some(launch), &output).await {
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

    /// See [`super::Backend::attach`].
    pub async fn attach(
        &self,
        command_id: &str,
        from: u64,
        output: mpsc::Sender<Bytes>,
        cancel: &CancellationToken,
    ) -> Result<Finished, WorkplaceError> {
        check_mark(command_id)?;
        let following = async {
            match self.follow(command_id, from, None, &output).await {
                Outcome::Finished(finished) => Ok(finished),
                Outcome::Refused(why) => Err(refused(why)),
                Outcome::Failed { error, .. } => Err(error),
            }
        };
        self.until_cancelled(command_id, following, cancel).await
    }

    /// See [`super::Backend::output`].
    pub async fn output(
        &self,
        command_id: &str,
        from: u64,
        limit: u64,
    ) -> Result<Bytes, WorkplaceError> {
        check_mark(command_id)?;
        let mut patience = Patience::new();
        loop {
            let mut memory = BytesMut::new();
            let arguments = vec![command_id.to_owned(), from.to_string(), limit.to_string()];
            let text = script::join(&[text::SHOW, text::OUTPUT]);
            let heard = self.serve(text, arguments, Sink::Memory(&mut memory)).await;
            let error = match heard.and_then(|heard| word(heard, Stage::Output)) {
                Ok(word) if word == "shown" => return Ok(memory.freeze()),
                Ok(_missing) => {
                    return Err(WorkplaceError::Path {
                        operation: "read",
                        path: format!("output of {command_id}"),
                        source: io::ErrorKind::NotFound.into(),
                    });
                }
                Err(error) => error,
            };
            patience.after(error).await?;
        }
    }

    /// See [`super::Backend::kill`].
    pub async fn kill(&self, command_id: &str) -> Result<u32, WorkplaceError> {
        check_mark(command_id)?;
        let mut patience = Patience::new();
        loop {
            let text = script::join(&[text::COMMON, text::SHOW, text::KILL]);
            let mut nothing = BytesMut::new();
            let heard =
                self.serve(text, vec![command_id.to_owned()], Sink::Memory(&mut nothing)).await;
            let error = match heard.and_then(|heard| word(heard, Stage::Kill)) {
                Ok(word) => match word.strip_prefix("killed ").map(str::parse) {
                    Some(Ok(count)) => return Ok(count),
                    _ => return Err(refused(word)),
                },
                Err(error) => error,
            };
            patience.after(error).await?;
        }
    }

    /// See [`super::Backend::forget`]: what is forgotten is removed by the next script that launches
    /// or follows there, or by [`Spool::tidy`].
    pub fn forget(&self, command_id: &str) {
        if check_mark(command_id).is_ok() {
            self.forgotten.add([command_id.to_owned()]);
        }
    }

    /// Removes what was forgotten, and records older than `spool.keep` whose command has ended.
    ///
    /// # Errors
    /// [`WorkplaceError`].
    pub async fn tidy(&self) -> Result<(), WorkplaceError> {
        loop {
            let text = script::join(&[text::COMMON, text::SHOW, text::TIDY]);
            let forgotten = self.forgotten.take();
            let minutes = self.settings.keep.as_secs() / 60;
            let arguments = vec![forgotten.join(" "), minutes.to_string()];
            let mut nothing = BytesMut::new();
            let heard = self.serve(text, arguments, Sink::Memory(&mut nothing)).await;
            match heard.and_then(|heard| word(heard, Stage::Tidy)) {
                Ok(word) if word != "tidied" => return Err(refused(word)),
                Ok(_) if forgotten.is_empty() => return Ok(()),
                Ok(_) => {}
                Err(error) => {
                    self.forgotten.add(forgotten);
                    return Err(error);
                }
            }
        }
    }

    /// Runs a script of the service. `arguments` come after the folder of all spools.
    async fn serve(
        &self,
        text: String,
        arguments: Vec<String>,
        sink: Sink<'_>,
    ) -> Result<Heard, WorkplaceError> {
        let arguments = [vec![self.shell.spools().await?], arguments].concat();
        let (ears, end) =
            exchange(&*self.shell, text, arguments, Bytes::new(), Purpose::Serve, sink).await;
        Ok(ears.heard(end?))
    }

    /// Kills the command when `cancel` fires; the rest of its output is still handed on, if that
    /// is quick.
    async fn until_cancelled(
        &self,
        command_id: &str,
        following: impl Future<Output = Result<Finished, WorkplaceError>> + Send,
        cancel: &CancellationToken,
    ) -> Result<Finished, WorkplaceError> {
        tokio::pin!(following);
        tokio::select! {
            result = &mut following => return result,
            () = cancel.cancelled() => {}
        }
        let killing = self.kill(command_id);
        tokio::pin!(killing);
        let mut followed = None;
        let killed = loop {
            tokio::select! {
                killed = &mut killing => break killed,
                result = &mut following, if followed.is_none() => followed = Some(result),
            }
        };
        if followed.is_none() && killed.is_ok() {
            followed = timeout(SOON, following).await.ok();
        }
        match (followed, killed) {
            // It may have ended by itself just before.
            (Some(Ok(finished)), _) if !matches!(finished.ended, Ended::Unknown(_)) => Ok(finished),
            (_, Ok(left_behind)) => Ok(Finished { ended: Ended::Cancelled, left_behind }),
            (_, Err(error)) => Err(error),
        }
    }
}

/// The last word of a script; without one its link broke, or its login shell runs no scripts.
fn word(heard: Heard, stage: Stage) -> Result<String, WorkplaceError> {
    match (heard.word, heard.end) {
        (Some(word), _) => Ok(word),
        // 128 and above: killed, as shells and engines say it.
        (None, ScriptEnd::Exited(code)) if !heard.begun && code < 128 => {
            let noise = heard.noise;
            Err(refused(format!("the login shell ran no script and exited with {code}: {noise}")))
        }
        (None, _) => Err(broken(stage)),
    }
}

/// A script that ended before its end.
fn broken(stage: Stage) -> WorkplaceError {
    let source = super::error::Cause("the script was cut short".to_owned());
    WorkplaceError::Unreachable { host: "shell".to_owned(), stage, source }
}

/// A machine that will not do it.
fn refused(why: String) -> WorkplaceError {
    WorkplaceError::Start { program: "/bin/sh".to_owned(), source: io::Error::other(why) }
}

#[cfg(test)]
mod tests;
