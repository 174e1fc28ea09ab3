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
//! - Processes are found by their session, and by the mark in their environment (`EVONIC_CALL`).

mod exchange;
mod forgotten;
mod patience;
mod script;
mod status;

use std::{io, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use evonic_shared::config;
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

pub(in crate::workplace) use self::script::LOGIN_COMMAND;
use self::{
    exchange::{Heard, Sink, exchange},
    forgotten::Forgotten,
    patience::Patience,
};
use super::{Class, CommandSpec, Ended, Finished, Unknown, WorkplaceError};

/// The scripts: what travels, and what it is made of. See the files for what they do.
mod text {
    pub(super) const COMMON: &str = include_str!("spool/common.sh");
    pub(super) const SHOW: &str = include_str!("spool/show.sh");
    pub(super) const WATCH: &str = include_str!("spool/watch.sh");
    pub(super) const LAUNCH: &str = include_str!("spool/launch.sh");
    pub(super) const FOLLOW: &str = include_str!("spool/follow.sh");
    pub(super) const KILL: &str = include_str!("spool/kill.sh");
    pub(super) const OUTPUT: &str = include_str!("spool/output.sh");
    pub(super) const TIDY: &str = include_str!("spool/tidy.sh");
}

/// How long the last output of a cancelled command is waited for, once it is dead: a cancel takes
/// less than a second in all.
const SOON: Duration = Duration::from_millis(700);

/// The longest time limit: ten years. Shells count in hundredths of a second.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);

/// The longest argument of a program, as Linux has it.
const ARGUMENT_BYTES: usize = (128 << 10) - 1;

/// The longest mark: a file's name, with room around it.
const MARK_BYTES: usize = 200;

/// A machine that can run a script of the POSIX shell.
#[async_trait]
pub(super) trait Shell: std::fmt::Debug + Send + Sync {
    /// Runs `script` by `/bin/sh` there, attached, and hands on what it writes as it comes. `said`
    /// is bounded. Returns when the script's shell ended and everything it wrote was handed on, or
    /// the link broke. When the future is dropped the link is closed, and so is, soon, the script.
    ///
    /// A script need not read all of its input. Its environment has no `EVONIC_CALL`: what carries
    /// a mark is killed with the command.
    ///
    /// # Errors
    /// [`WorkplaceError`]; of [`Class::Transient`] when the link broke: whether the script ran
    /// cannot be told, unless the operation of [`WorkplaceError::Unreachable`] is `resolve`,
    /// `connect`, `exchange keys` or `authenticate`: then it certainly did not.
    async fn script(
        &self,
        script: Script,
        said: mpsc::Sender<Said>,
    ) -> Result<ScriptEnd, WorkplaceError>;

    /// The folder of all spools there, in which this service alone writes: a whole path. Made by
    /// the launcher, for its user only.
    ///
    /// # Errors
    /// [`WorkplaceError`] when the machine has to be asked and cannot be reached.
    async fn spools(&self) -> Result<String, WorkplaceError>;

    /// The folder that a command runs in: a whole path, or one relative to where scripts start.
    ///
    /// # Errors
    /// [`WorkplaceError`] when it cannot be entered.
    async fn folder(&self, folder: &str) -> Result<String, WorkplaceError>;
}

/// A script to run.
#[derive(Clone, Debug)]
pub(super) struct Script {
    /// What `/bin/sh` runs: any POSIX shell, without a terminal.
    pub(super) text: String,
    /// `$1`, `$2`, ... of it; without NUL.
    pub(super) arguments: Vec<String>,
    /// What it reads from its standard input, which then ends.
    pub(super) input: Bytes,
    /// What it is for.
    pub(super) purpose: Purpose,
}

/// What a script is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Launches the command of this mark: the machine's limits and confinement are put on it, and
    /// its environment is that of commands.
    Launch {
        /// The mark.
        mark: String,
    },
    /// Works for the service: follows, kills, looks, cleans up.
    Serve,
}

/// What a script wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// To its standard output.
    Out(Bytes),
    /// To its standard error.
    Err(Bytes),
}

/// How a script ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScriptEnd {
    /// With this exit code.
    Exited(i32),
    /// By a signal.
    Killed,
}

/// The commands of one machine. Shared by cloning.
#[derive(Debug)]
pub(super) struct Spool<S> {
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

/// What is needed to launch a command, as often as a link breaks before it is seen to run.
struct Launch {
    /// From the watcher's text on.
    arguments: Vec<String>,
    stdin: Bytes,
}

/// What came of following a command.
enum Outcome {
    Finished(Finished),
    /// The machine refused, before anything was started: why, in words.
    Refused(String),
    /// It failed. `certain`: no launcher can have started the command.
    Failed {
        error: WorkplaceError,
        certain: bool,
    },
}

impl<S: Shell> Spool<S> {
    /// The commands of the machine behind this shell.
    pub(super) fn new(shell: Arc<S>, settings: config::Spool) -> Self {
        Self { shell, settings, forgotten: Arc::default() }
    }

    /// See [`super::Place::run`].
    pub(super) async fn run(
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
            Ok(match self.follow(&spec.mark, 0, Some(launch), &output).await {
                Outcome::Finished(finished) => finished,
                Outcome::Refused(why) => Finished { ended: Ended::NotStarted(why), left_behind: 0 },
                Outcome::Failed { error, certain: true } => return Err(error),
                Outcome::Failed { error, certain: false } => {
                    tracing::warn!(%error, mark = spec.mark, "a command's machine is out of reach");
                    Finished { ended: Ended::Unknown(Unknown::OutOfReach), left_behind: 0 }
                }
            })
        };
        self.until_cancelled(&spec.mark, following, cancel).await
    }

    /// See [`super::Place::attach`].
    pub(super) async fn attach(
        &self,
        mark: &str,
        from: u64,
        output: mpsc::Sender<Bytes>,
        cancel: &CancellationToken,
    ) -> Result<Finished, WorkplaceError> {
        check_mark(mark)?;
        let following = async {
            match self.follow(mark, from, None, &output).await {
                Outcome::Finished(finished) => Ok(finished),
                Outcome::Refused(why) => Err(refused(why)),
                Outcome::Failed { error, .. } => Err(error),
            }
        };
        self.until_cancelled(mark, following, cancel).await
    }

    /// See [`super::Place::output`].
    pub(super) async fn output(
        &self,
        mark: &str,
        from: u64,
        limit: u64,
    ) -> Result<Bytes, WorkplaceError> {
        check_mark(mark)?;
        let mut patience = Patience::new();
        loop {
            let mut memory = BytesMut::new();
            let arguments = vec![mark.to_owned(), from.to_string(), limit.to_string()];
            let text = script::join(&[text::SHOW, text::OUTPUT]);
            let heard = self.serve(text, arguments, Sink::Memory(&mut memory)).await;
            let error = match heard.and_then(|heard| word(heard, "output")) {
                Ok(word) if word == "shown" => return Ok(memory.freeze()),
                Ok(_missing) => {
                    return Err(WorkplaceError::Path {
                        operation: "read",
                        path: format!("output of {mark}"),
                        source: io::ErrorKind::NotFound.into(),
                    });
                }
                Err(error) => error,
            };
            patience.after(error).await?;
        }
    }

    /// See [`super::Place::kill`].
    pub(super) async fn kill(&self, mark: &str) -> Result<u32, WorkplaceError> {
        check_mark(mark)?;
        let mut patience = Patience::new();
        loop {
            let text = script::join(&[text::COMMON, text::SHOW, text::KILL]);
            let mut nothing = BytesMut::new();
            let heard = self.serve(text, vec![mark.to_owned()], Sink::Memory(&mut nothing)).await;
            let error = match heard.and_then(|heard| word(heard, "kill")) {
                Ok(word) => match word.strip_prefix("killed ").map(str::parse) {
                    Some(Ok(count)) => return Ok(count),
                    _ => return Err(refused(word)),
                },
                Err(error) => error,
            };
            patience.after(error).await?;
        }
    }

    /// See [`super::Place::forget`]: what is forgotten is removed by the next script that launches
    /// or follows there, or by [`Spool::tidy`].
    pub(super) fn forget(&self, mark: &str) {
        if check_mark(mark).is_ok() {
            self.forgotten.add([mark.to_owned()]);
        }
    }

    /// Removes what was forgotten, and records older than `spool.keep` whose command has ended.
    ///
    /// # Errors
    /// [`WorkplaceError`].
    pub(super) async fn tidy(&self) -> Result<(), WorkplaceError> {
        loop {
            let text = script::join(&[text::COMMON, text::SHOW, text::TIDY]);
            let forgotten = self.forgotten.take();
            let minutes = self.settings.keep.as_secs() / 60;
            let arguments = vec![forgotten.join(" "), minutes.to_string()];
            let mut nothing = BytesMut::new();
            let heard = self.serve(text, arguments, Sink::Memory(&mut nothing)).await;
            match heard.and_then(|heard| word(heard, "tidy")) {
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

    async fn launch(&self, spec: &CommandSpec) -> Result<Launch, WorkplaceError> {
        let limit = spec.timeout.min(LONGEST).as_millis().div_ceil(10);
        let fixed = [
            script::join(&[text::COMMON, text::WATCH]),
            self.shell.folder(&spec.folder).await?,
            limit.to_string(),
            self.settings.max_output_bytes.to_string(),
            spec.stdin.len().to_string(),
        ];
        let arguments = fixed.into_iter().chain(spec.argv.iter().cloned()).collect();
        Ok(Launch { arguments, stdin: spec.stdin.clone() })
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

    /// Follows a command to its end, over as many links as it takes. Launches it where that is
    /// asked for; a second launcher becomes a follower by itself.
    async fn follow(
        &self,
        mark: &str,
        from: u64,
        mut launch: Option<Launch>,
        output: &mpsc::Sender<Bytes>,
    ) -> Outcome {
        let mut at = from;
        let mut patience = Patience::new();
        let mut certain = launch.is_some();
        loop {
            let forgotten = self.forgotten.take();
            let before = at;
            let (alive, result) =
                self.follow_once(mark, &forgotten, launch.as_ref(), output, &mut at).await;
            let error = match result {
                Ok(heard) => match heard.word.as_deref() {
                    Some(word) if word.starts_with("end ") => match ended(word, at) {
                        Some(Progress::Finished(finished)) => return Outcome::Finished(finished),
                        Some(Progress::More) => {
                            // What the end cut off is there; the next link brings it.
                            launch = None;
                            if at > before {
                                continue;
                            }
                            broken("follow")
                        }
                        None => {
                            return Outcome::Failed {
                                error: refused(word.to_owned()),
                                certain: false,
                            };
                        }
                    },
                    Some(word) if word.starts_with("refused ") => {
                        let why = word["refused ".len()..].to_owned();
                        return if certain || launch.is_none() {
                            Outcome::Refused(why)
                        } else {
                            Outcome::Failed { error: refused(why), certain }
                        };
                    }
                    _ => match word(heard, "follow") {
                        Ok(word) => {
                            return Outcome::Failed { error: refused(word), certain: false };
                        }
                        // No word of ours, by a shell that ended by itself: it will not run scripts.
                        Err(error) if error.class() == Class::Permanent => {
                            return Outcome::Failed { error, certain };
                        }
                        Err(error) => {
                            certain = false;
                            error
                        }
                    },
                },
                Err(error) => {
                    self.forgotten.add(forgotten);
                    // Whatever the error says: what gave a sign of life was started.
                    let first = certain && !alive && did_not_run(&error);
                    certain = first;
                    if first {
                        return Outcome::Failed { error, certain };
                    }
                    error
                }
            };
            if alive {
                launch = None;
            }
            if at > before || alive {
                patience.renew();
            }
            if let Err(error) = patience.after(error).await {
                return Outcome::Failed { error, certain };
            }
        }
    }

    /// Follows a command over one link. Also returns whether there was a sign of its life.
    async fn follow_once(
        &self,
        mark: &str,
        forgotten: &[String],
        launch: Option<&Launch>,
        output: &mpsc::Sender<Bytes>,
        at: &mut u64,
    ) -> (bool, Result<Heard, WorkplaceError>) {
        let spools = match self.shell.spools().await {
            Ok(spools) => spools,
            Err(error) => return (false, Err(error)),
        };
        let fixed = [spools, mark.to_owned(), forgotten.join(" "), at.to_string()];
        let mut arguments = Vec::from(fixed);
        let (last, stdin, purpose) = match launch {
            Some(launch) => {
                arguments.extend_from_slice(&launch.arguments);
                let purpose = Purpose::Launch { mark: mark.to_owned() };
                (text::LAUNCH, launch.stdin.clone(), purpose)
            }
            None => (text::FOLLOW, Bytes::new(), Purpose::Serve),
        };
        let text = script::join(&[text::COMMON, text::SHOW, last]);
        let sink = Sink::Reader { to: output, at };
        let (ears, end) = exchange(&*self.shell, text, arguments, stdin, purpose, sink).await;
        (ears.alive(), end.map(|end| ears.heard(end)))
    }

    /// Kills the command when `cancel` fires; the rest of its output is still handed on, if that
    /// is quick.
    async fn until_cancelled(
        &self,
        mark: &str,
        following: impl Future<Output = Result<Finished, WorkplaceError>> + Send,
        cancel: &CancellationToken,
    ) -> Result<Finished, WorkplaceError> {
        tokio::pin!(following);
        tokio::select! {
            result = &mut following => return result,
            () = cancel.cancelled() => {}
        }
        let killing = self.kill(mark);
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

/// What the last word of a follower means.
enum Progress {
    Finished(Finished),
    /// There is more of the output than was shown.
    More,
}

/// Reads `end SIZE STATUS`; the size is `-` when all was shown.
fn ended(word: &str, at: u64) -> Option<Progress> {
    let (size, status) = word.strip_prefix("end ")?.split_once(' ')?;
    if size != "-" && size.parse::<u64>().ok()? > at {
        return Some(Progress::More);
    }
    status::read(status).map(Progress::Finished)
}

/// The last word of a script; without one its link broke, or its login shell runs no scripts.
fn word(heard: Heard, operation: &'static str) -> Result<String, WorkplaceError> {
    match (heard.word, heard.end) {
        (Some(word), _) => Ok(word),
        // 128 and above: killed, as shells and engines say it.
        (None, ScriptEnd::Exited(code)) if !heard.begun && code < 128 => {
            let noise = heard.noise;
            Err(refused(format!("the login shell ran no script and exited with {code}: {noise}")))
        }
        (None, _) => Err(broken(operation)),
    }
}

/// A script that ended before its end.
fn broken(operation: &'static str) -> WorkplaceError {
    let source = super::error::Cause("the script was cut short".to_owned());
    WorkplaceError::Unreachable { host: "shell".to_owned(), operation, source }
}

/// A machine that will not do it.
fn refused(why: String) -> WorkplaceError {
    WorkplaceError::Start { program: "/bin/sh".to_owned(), source: io::Error::other(why) }
}

/// Whether an error of a shell came before the script was handed over.
fn did_not_run(error: &WorkplaceError) -> bool {
    match error {
        WorkplaceError::Unreachable { operation, .. } => {
            matches!(*operation, "resolve" | "connect" | "exchange keys" | "authenticate")
        }
        WorkplaceError::Exhausted(_) | WorkplaceError::LeftAlone { .. } => true,
        error => error.class() == Class::Permanent,
    }
}

fn check_mark(mark: &str) -> Result<(), WorkplaceError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !mark.is_empty() && mark.len() <= MARK_BYTES && mark.bytes().all(fits) {
        return Ok(());
    }
    Err(WorkplaceError::Settings {
        field: "mark".to_owned(),
        problem: format!("1 to {MARK_BYTES} letters, digits, _ and - are needed"),
    })
}

fn check(spec: &CommandSpec) -> Result<(), WorkplaceError> {
    check_mark(&spec.mark)?;
    let wrong = |field: &str, problem: &str| {
        let (field, problem) = (field.to_owned(), problem.to_owned());
        Err(WorkplaceError::Settings { field, problem })
    };
    if spec.argv.first().is_none_or(String::is_empty) {
        return wrong("argv", "a program is needed");
    }
    if spec.argv.iter().any(|word| word.contains('\0')) || spec.folder.contains('\0') {
        return wrong("argv", "a NUL cannot be handed to a program");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
